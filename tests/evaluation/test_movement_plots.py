from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.quiver import Quiver
from scipy.stats import norm

from evaluation.movement_plots import (
    NUM_HISTOGRAM_CELLS,
    NUM_KERNEL_CELLS,
    Density,
    Movements,
    draw_mean_movements,
    draw_movements_alone,
    draw_movements_merged,
)

FIGURES = (draw_movements_alone, draw_movements_merged, draw_mean_movements)


def normal(num_points: int, dimension: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(num_points, dimension))


def integral(density: Density) -> float:
    return float(density.values.sum() * np.prod([np.diff(middles)[0] for middles in density.coordinates]))


@pytest.mark.parametrize("dimension", [1, 2])
def test_the_density_of_a_normal_distribution(dimension: int) -> None:
    density = Density.of(normal(20000, dimension) + 1, np.array([[-4.0, 6.0]] * dimension))
    grid = np.meshgrid(*density.coordinates, indexing="ij")
    expected = np.prod([norm.pdf(axis, loc=1) for axis in grid], axis=0)
    assert density.values.shape == (NUM_KERNEL_CELLS,) * dimension
    assert np.abs(density.values - expected).max() < 0.15 * expected.max()
    assert integral(density) == pytest.approx(1, abs=0.01)


def test_the_first_coordinate_of_a_density_is_x() -> None:
    points = normal(500, 2) * (1, 3) + (5, -2)
    density = Density.of(points, np.array([[-10.0, 10.0], [-20.0, 20.0]]))
    x, y = np.unravel_index(density.values.argmax(), density.values.shape)
    assert abs(density.coordinates[0][x] - 5) < 1
    assert abs(density.coordinates[1][y] + 2) < 2


@pytest.mark.parametrize(
    "points",
    [
        np.full((1, 1), 2.0),
        np.full((50, 1), 2.0),
        np.full((1, 2), 2.0),
        np.full((50, 2), 2.0),
        np.array([[1.0, 2.0], [2.0, 2.0], [3.0, 2.0], [2.0, 2.0]]),
        np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [2.0, 2.0]]),
        np.array([[2.0], [2.0 + 1e-9], [2.0]]),
        np.array([[1.0, 2.0], [3.0, 2.0]]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_degenerate_points_give_a_histogram(points: np.ndarray) -> None:
    dimension = points.shape[1]
    density = Density.of(points, np.array([[-5.0, 5.0]] * dimension))
    assert density.values.shape == (NUM_HISTOGRAM_CELLS,) * dimension
    assert integral(density) == pytest.approx(1)
    peak = np.unravel_index(density.values.argmax(), density.values.shape)
    cell = density.coordinates[0][1] - density.coordinates[0][0]
    center = [middles[index] for middles, index in zip(density.coordinates, peak, strict=True)]
    assert np.abs(np.array(center) - points).max(axis=1).min() <= cell


def test_limits_leave_out_outliers_but_show_every_action() -> None:
    vectors = np.concatenate([normal(5000, 1).clip(-2, 2), [[1e6]], [[-50.0]] * 3])
    actions = np.array([0] * 5001 + [1] * 3)
    (low, high) = Movements(vectors, actions, 2, "pixels").limits[0]
    assert low == -high
    assert high == pytest.approx(60)


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e-6])
@pytest.mark.filterwarnings("error")
def test_every_figure_can_be_drawn(dimension: int, scale: float) -> None:
    vectors = normal(60, dimension) * scale
    actions = np.arange(60) % 3
    actions[-1] = 4
    movements = Movements(vectors, actions, 5, "pixels")
    for draw in FIGURES:
        draw(movements).draw_without_rendering()


def test_each_action_has_its_panel() -> None:
    actions = np.array([0] * 10 + [2] * 20)
    figure = draw_movements_alone(Movements(normal(30, 2), actions, 3, "metres"))
    titles = ["action 1: 10 steps", "action 2: 0 steps", "action 3: 20 steps"]
    assert [axes.get_title() for axes in figure.axes] == titles
    assert [len(axes.collections) for axes in figure.axes] == [1, 0, 1]
    assert figure.axes[0].get_xlabel() == "x, metres"
    assert figure.axes[0].yaxis_inverted()


def test_actions_that_are_taken_are_in_the_merged_panel() -> None:
    actions = np.array([0] * 10 + [2] * 20)
    (axes,) = draw_movements_merged(Movements(normal(30, 1), actions, 3, "pixels")).axes
    assert axes.get_legend_handles_labels()[1] == ["action 1", "action 3"]
    assert sorted(np.max(line.get_ydata()) for line in axes.lines if np.size(line.get_ydata()) > 2) == pytest.approx(
        [1, 1]
    )


def test_arrows_are_mean_movements() -> None:
    vectors = np.array([[1.0, 2.0], [3.0, 4.0], [-1.0, 0.0]])
    figure = draw_mean_movements(Movements(vectors, np.array([0, 0, 2]), 3, "pixels"))
    (arrows,) = (artist for artist in figure.axes[0].collections if isinstance(artist, Quiver))
    assert np.allclose(arrows.U, [2, -1])
    assert np.allclose(arrows.V, [3, 0])
    assert figure.axes[0].yaxis_inverted()


def test_bars_are_mean_movements() -> None:
    vectors = np.array([[1.0], [3.0], [-1.0]])
    (axes,) = draw_mean_movements(Movements(vectors, np.array([0, 0, 2]), 3, "pixels")).axes
    assert [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)] == [2, -1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "3"]


@pytest.mark.parametrize("draw", [draw_movements_alone, draw_movements_merged])
def test_densities_lie_where_the_movements_are(draw: Callable[[Movements], Figure]) -> None:
    center = np.array([8.0, -2.0])
    movements = Movements(normal(500, 2) + center, np.zeros(500, int), 1, "pixels")
    shape = draw(movements).axes[0].collections[0]
    if isinstance(shape, QuadMesh):
        heights = np.asarray(shape.get_array())
        peak = np.asarray(shape.get_coordinates())[np.unravel_index(heights.argmax(), heights.shape)]
    else:
        peak = np.concatenate([path.vertices for path in shape.get_paths()]).mean(axis=0)
    assert np.abs(np.asarray(peak) - center).max() < 1

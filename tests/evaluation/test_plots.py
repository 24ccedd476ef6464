from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from evaluation.plots import (
    COLORS,
    Curve,
    draw_confusion,
    draw_per_position,
    panels,
    plot_action_space,
    plot_action_usage,
    plot_per_position,
    save_figure,
)


def color_count(pixels: np.ndarray, index: int) -> int:
    """Pixels of exactly one of the colours that actions have, up to blending with white."""
    rgb = np.array(COLORS(index)[:3]) * 255
    shades = {alpha: alpha * rgb + (1 - alpha) * 255 for alpha in (0.6, 1.0)}
    return sum(int((np.abs(pixels - shade) < 3).all(axis=-1).sum()) for shade in shades.values())


def points(num_points: int, dimension: int) -> np.ndarray:
    return np.random.default_rng(dimension).normal(size=(num_points, dimension)).astype(np.float32)


@pytest.mark.parametrize("dimension", [1, 2, 5])
@pytest.mark.parametrize("num_actions", [3, 7])
def test_every_action_in_use_is_shown(dimension: int, num_actions: int) -> None:
    actions = np.arange(90) % (num_actions - 1)
    centroids = points(num_actions, dimension)
    pixels = plot_action_space(points(90, dimension), points(90, dimension), actions, centroids)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (450, 1000, 3)
    right = pixels[:, 520:]  # action states, without legend and centroids
    assert [color_count(right, action) > 10 for action in range(num_actions)] == [True] * (num_actions - 1) + [False]


@pytest.mark.parametrize("dimension", [1, 2, 5])
@pytest.mark.parametrize("num_points", [1, 2, 40])
def test_few_or_equal_points_are_no_trouble(dimension: int, num_points: int) -> None:
    same = np.ones((num_points, dimension), np.float32)
    pixels = plot_action_space(same, 0 * same, np.zeros(num_points, int), points(3, dimension))
    assert pixels.shape == (450, 1000, 3)


def test_usage() -> None:
    pixels = plot_action_usage(np.array([[30, 0, 5], [0, 40, 0], [0, 0, 0]]), [0, 2, 9])
    assert pixels.shape == (450, 600, 3)
    assert color_count(pixels, 1) > color_count(pixels, 0) > color_count(pixels, 2) > 0


@pytest.mark.parametrize("confusion", [np.zeros((3, 1), int), np.ones((7, 1), int), np.ones((20, 15), int)])
def test_usage_of_nothing_or_of_many_actions(confusion: np.ndarray) -> None:
    assert plot_action_usage(confusion, list(range(confusion.shape[1]))).shape == (450, 600, 3)


@pytest.mark.parametrize("num_curves", [1, 3])
def test_curves(num_curves: int) -> None:
    curves = {f"loss {index}": np.linspace(0, 1, 5) for index in range(num_curves)}
    pixels = plot_per_position(curves)
    assert pixels.shape == (350, 450 * num_curves, 3)
    assert color_count(pixels, 0) > 0


def test_runs_share_a_panel_for_each_metric() -> None:
    intervals = np.array([[0.5, 1.5], [1.5, 2.5]])
    first = {"MSE": Curve(np.array([1.0, 2.0]), intervals), "PSNR": Curve(np.array([30.0, 29.0]))}
    second = {"ADD": Curve(np.array([4.0])), "MSE": Curve(np.array([3.0, 3.5, 4.0]))}
    figure = draw_per_position({"a": first, "b": second})
    assert [axes.get_title() for axes in figure.axes] == ["MSE", "PSNR", "ADD"]
    assert [axes.get_legend_handles_labels()[1] for axes in figure.axes] == [["a", "b"], ["a"], ["b"]]
    assert all(axes.get_legend() for axes in figure.axes)
    points = [np.asarray(line.get_xydata()).tolist() for line in figure.axes[0].lines]
    assert points == [[[1, 1], [2, 2]], [[1, 3], [2, 3.5], [3, 4]]]
    (band,) = figure.axes[0].collections
    corners = np.asarray(band.get_paths()[0].vertices).tolist()
    assert all(corner in corners for corner in ([1, 0.5], [1, 1.5], [2, 1.5], [2, 2.5]))
    assert figure.axes[0].get_ylim()[0] == 0
    assert figure.axes[1].get_ylim()[0] > 25


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (4, (1, 4)), (5, (2, 3)), (7, (2, 4)), (9, (3, 3))])
def test_panels_fill_even_rows(count: int, shape: tuple[int, int]) -> None:
    figure, all_axes = panels(count, 2, 3)
    assert len(all_axes) == len(figure.axes) == count
    assert figure.get_size_inches().tolist() == [2 * shape[1], 3 * shape[0]]


def test_confusion_shows_counts_and_shares_of_rows() -> None:
    figure = draw_confusion(np.array([[30, 10, 0], [0, 0, 0]]), [0, 2, 9])
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["30", "10", "0", "0", "0", "0"]
    assert np.asarray(axes.images[0].get_array()).tolist() == [[0.75, 0.25, 0], [0, 0, 0]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "2", "9"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "2"]


def test_equal_figures_give_equal_files(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        figure = Figure(layout="constrained")
        figure.subplots().plot([1, 2], label="curve")
        save_figure(figure, tmp_path / folder, "line")
    for name in ("line.png", "line.pdf"):
        content = (tmp_path / "a" / name).read_bytes()
        assert content == (tmp_path / "b" / name).read_bytes()
        assert b"CreationDate" not in content

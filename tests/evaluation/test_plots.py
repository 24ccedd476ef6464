import numpy as np
import pytest

from evaluation.plots import COLORS, plot_action_space, plot_action_usage, plot_per_position


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

"""Plots as pixels: uint8 (height, width, 3), ready for a PNG file or W&B.

Dimensions: N points, D action-space dimension, K discovered actions, G true actions that occur.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLORS = colormaps["tab10"]


def plot_action_space(
    directions: np.ndarray, action_states: np.ndarray, actions: np.ndarray, centroids: np.ndarray
) -> np.ndarray:
    """Action directions with their centroids, and action states, each coloured by the action chosen there.

    More than two dimensions are projected on the two of largest variance.

    Args:
        directions: (N, D) sampled action directions, finite.
        action_states: (N, D) the sampled action states that the directions start from, finite.
        actions: (N,) index of the chosen action.
        centroids: (K, D).
    """
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, points, title in ((left, directions, "action directions"), (right, action_states, "action states")):
        axes.set_title(title)
        _scatter(axes, _project(points, points), actions, len(centroids))
    for action, (x, *y) in enumerate(_project(centroids, directions)):
        left.plot(x, y[0] if y else 0, marker="X", markersize=12, color=COLORS(action % 10), markeredgecolor="black")
    left.legend(loc="upper right", fontsize="small")
    return _pixels(figure)


def plot_action_usage(confusion: np.ndarray, true_actions: Sequence[int]) -> np.ndarray:
    """How often each discovered action is chosen, split by true action.

    Args:
        confusion: counts (K, G).
        true_actions: (G,) their names. A single one, as where the truth is unknown, is not named.
    """
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    shares = confusion / max(1, confusion.sum())
    numbers = range(1, len(shares) + 1)
    bottom = np.zeros(len(shares))
    for index, share in enumerate(shares.T):
        axes.bar(numbers, share, bottom=bottom, label=f"true action {true_actions[index]}", color=COLORS(index % 10))
        bottom += share
    axes.set(xlabel="discovered action", ylabel="share of steps", title="action usage", xticks=numbers)
    if len(true_actions) > 1:
        axes.legend(fontsize="small")
    return _pixels(figure)


def plot_per_position(curves: dict[str, np.ndarray]) -> np.ndarray:
    """Losses against the position in the sequence, one panel a loss; each curve starts at the first generated frame."""
    figure = Figure(figsize=(4.5 * len(curves), 3.5), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(curves)))
    for axes, (name, values) in zip(panels, curves.items(), strict=True):
        axes.plot(range(1, len(values) + 1), values, marker="o", markersize=3)
        axes.set(xlabel="position in the sequence", title=name, ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
    return _pixels(figure)


def _scatter(axes: Axes, points: np.ndarray, actions: np.ndarray, num_actions: int) -> None:
    """Points (N, 2), or a histogram of points (N, 1), one colour an action."""
    limits = (points[:, 0].min(), points[:, 0].max())
    for action in range(num_actions):
        chosen = points[actions == action]
        label, color = f"action {action + 1}", COLORS(action % 10)
        if points.shape[1] == 1:
            axes.hist(chosen[:, 0], bins=50, range=limits, alpha=0.6, label=label, color=color)
        else:
            axes.scatter(chosen[:, 0], chosen[:, 1], s=6, alpha=0.6, label=label, color=color)


def _project(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Points (..., D) on at most two axes (..., 2): those along which reference points (N, D) vary most."""
    if reference.shape[1] <= 2:
        return points
    center = reference.mean(axis=0)
    _, _, axes = np.linalg.svd(reference - center, full_matrices=False)
    return (points - center) @ axes[:2].T


def _pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()

"""Plots as pixels: uint8 (height, width, 3), ready for a PNG file or W&B.

Dimensions: N points, D action-space dimension, K discovered actions, G true actions.
"""

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

    Args:
        directions: (N, D) sampled action directions.
        action_states: (N, D) the sampled action states that the directions start from.
        actions: (N,) index of the chosen action.
        centroids: (K, D).
    """
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, points, title in ((left, directions, "action directions"), (right, action_states, "action states")):
        axes.set_title(title)
        _scatter(axes, points, actions, len(centroids))
    axis = _principal_axes(directions)
    for action, (x, *y) in enumerate((centroids - directions.mean(axis=0)) @ axis):
        left.plot(x, y[0] if y else 0.5, marker="X", markersize=12, color=COLORS(action % 10), markeredgecolor="black")
    left.legend(loc="upper right", fontsize="small")
    return _pixels(figure)


def plot_action_usage(confusion: np.ndarray) -> np.ndarray:
    """How often each discovered action is chosen, split by true action, from counts (K, G)."""
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    shares = confusion / max(1, confusion.sum())
    numbers = range(1, len(shares) + 1)
    bottom = np.zeros(len(shares))
    for true_action, share in enumerate(shares.T):
        color = COLORS(true_action % 10)
        axes.bar(numbers, share, bottom=bottom, label=f"true action {true_action}", color=color)
        bottom += share
    axes.set(xlabel="discovered action", ylabel="share of steps", title="action usage", xticks=numbers)
    axes.legend(fontsize="small")
    return _pixels(figure)


def plot_per_position(curves: dict[str, np.ndarray]) -> np.ndarray:
    """Losses against the position in the sequence, one panel a loss; each curve starts at the first generated frame."""
    figure = Figure(figsize=(4.5 * len(curves), 3.5), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(curves)))
    for axes, (name, values) in zip(panels, curves.items(), strict=True):
        axes.plot(range(1, len(values) + 1), values, marker="o", markersize=3)
        axes.set(xlabel="position in the sequence", title=name, ylim=(0, None))
    return _pixels(figure)


def _scatter(axes: Axes, points: np.ndarray, actions: np.ndarray, num_actions: int) -> None:
    projected = (points - points.mean(axis=0)) @ _principal_axes(points)
    limits = (projected[:, 0].min(), projected[:, 0].max())
    for action in range(num_actions):
        chosen = projected[actions == action]
        label, color = f"action {action + 1}", COLORS(action % 10)
        if projected.shape[1] == 1:
            axes.hist(chosen[:, 0], bins=50, range=limits, alpha=0.6, label=label, color=color)
        else:
            axes.scatter(chosen[:, 0], chosen[:, 1], s=6, alpha=0.6, label=label, color=color)


def _principal_axes(points: np.ndarray) -> np.ndarray:
    """(D, min(D, 2)): the axes themselves up to two dimensions, else the two directions of largest variance."""
    dimension = points.shape[1]
    if dimension <= 2:
        return np.eye(dimension)
    _, _, axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    return axes[:2].T


def _pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()

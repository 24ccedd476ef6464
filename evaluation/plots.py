"""Plots: `draw_...` return matplotlib figures, `plot_...` return pixels, uint8 (height, width, 3), for logging.

Dimensions: N points, D action-space dimension, K discovered actions, G true actions that occur, P positions in a
sequence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from utils.files import replacing

COLORS = colormaps["tab10"]
MOST_DISTINCT = 10
"""Number of these colours."""
SHADES = colormaps["viridis"]
"""For more curves than that, from the first to the last."""
FILE_RESOLUTION = 150
"""Dots per inch of PNG files."""


@dataclass(frozen=True)
class Curve:
    """A mean by position in the sequence, starting at the first generated frame."""

    values: np.ndarray  # (P,), NaN where unknown
    intervals: np.ndarray | None = None  # (P, 2) low and high, NaN where unknown
    positions: np.ndarray | None = None  # (P,) in ascending order; 1 to P by default


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Write `<folder>/<name>.png` and `.pdf`; equal figures give equal files.

    Raises:
        OSError: they cannot be written.
    """
    with replacing(folder / f"{name}.png") as file:
        figure.savefig(file, format="png", dpi=FILE_RESOLUTION)
    figure.set_layout_engine("none")  # the layout is done: panels stay in place
    with replacing(folder / f"{name}.pdf") as file:
        figure.savefig(file, format="pdf", metadata={"CreationDate": None})


def panels(count: int, width: float, height: float, columns: int = 4) -> tuple[Figure, list[Axes]]:
    """Create a figure of `count` panels, each of a size in inches, in even rows of at most `columns`."""
    rows = -(-count // columns)
    columns = -(-count // rows)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def plot_action_space(
    directions: np.ndarray, action_states: np.ndarray, actions: np.ndarray, centroids: np.ndarray
) -> np.ndarray:
    """Plot action directions with their centroids, and action states, coloured by the chosen action.

    More than two dimensions are projected on the two of largest variance.

    Args:
        directions: (N, D) sampled action directions, finite.
        action_states: (N, D) sampled action states at the start of the directions, finite.
        actions: (N,) index of the chosen action.
        centroids: (K, D) centroids of the actions.
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
    """Plot `draw_action_usage` as pixels."""
    return _pixels(draw_action_usage(confusion, true_actions))


def draw_action_usage(confusion: np.ndarray, true_actions: Sequence[int]) -> Figure:
    """Draw how often each discovered action is chosen, split by true action.

    Args:
        confusion: (K, G) counts.
        true_actions: (G,) the true actions, for the legend. A single one, as if the truth is unknown, is not named.
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
    return figure


def draw_confusion(confusion: np.ndarray, true_actions: Sequence[int]) -> Figure:
    """Draw the confusion matrix of discovered and true actions: shares of each row as colour, counts as text.

    Args:
        confusion: (K, G) counts.
        true_actions: (G,) the true actions, for the labels.
    """
    num_actions, num_true = confusion.shape
    figure = Figure(figsize=(2.2 + 0.7 * num_true, 1.5 + 0.5 * num_actions), layout="constrained")
    axes = figure.subplots()
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(confusion):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}", ha="center", va="center", fontsize="small", color=color)
    axes.set(xlabel="true action", ylabel="discovered action", title="true actions behind each")
    axes.set_xticks(range(num_true), [str(action) for action in true_actions])
    axes.set_yticks(range(num_actions), [str(action + 1) for action in range(num_actions)])
    figure.colorbar(image, ax=axes, label="share of the row")
    return figure


def plot_per_position(curves: dict[str, np.ndarray]) -> np.ndarray:
    """Plot losses by position in the sequence, one panel per loss; curves start at the first generated frame."""
    return _pixels(draw_per_position({"": {name: Curve(values) for name, values in curves.items()}}))


def draw_per_position(runs: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Draw curves of one or several runs by position in the sequence, one panel per metric.

    Args:
        runs: curves by run and metric; a run may lack some metrics.
    """
    names = list(dict.fromkeys(name for curves in runs.values() for name in curves))
    figure, all_axes = panels(len(names), 4.5, 3.5)
    for axes, name in zip(all_axes, names, strict=True):
        for index, (run, curves) in enumerate(runs.items()):
            if name in curves:
                _draw_curve(axes, curves[name], run, COLORS(index % 10))
        axes.set(xlabel="position in the sequence", title=name)
        if 0 <= axes.dataLim.y0 < axes.dataLim.y1 / 2:
            axes.set_ylim(0, None)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(runs) > 1:
            axes.legend(fontsize="small")
    return figure


def draw_progress(groups: Mapping[str, Mapping[str, Mapping[int, float]]], columns: int = 4) -> Figure:
    """Draw scalars against the step of training, one small panel per group.

    Args:
        groups: the values by the title of the group, the label of the scalar in it, and the step; NaN where unknown.
        columns: number of panels in a row.
    """
    rows = -(-len(groups) // columns)
    width, height = 3 * columns, 2.2 * rows
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(0.65 / width, 0.3 / height, 1 - 0.1 / width, 1 - 0.3 / height, wspace=0.35, hspace=0.4)
    for place, (title, scalars) in enumerate(groups.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        shades = SHADES(np.linspace(0, 1, len(scalars)))
        for index, (label, values) in enumerate(scalars.items()):
            color = shades[index] if len(scalars) > MOST_DISTINCT else COLORS(index)
            marker = "o" if len(values) == 1 else None
            axes.plot(list(values), list(values.values()), linewidth=1, marker=marker, label=label, color=color)
        axes.locator_params(nbins=3)  # few, since labels take most of the time
        axes.tick_params(labelsize="small")
        labels = list(scalars)
        span = f", {labels[0]} (dark) to {labels[-1]}" if len(scalars) > MOST_DISTINCT else ""
        axes.set_title(title + span, fontsize="small", y=1)  # given, since finding the place takes long
        if 1 < len(scalars) <= MOST_DISTINCT:
            axes.legend(fontsize="xx-small", loc="upper left")
    return figure


def _draw_curve(axes: Axes, curve: Curve, label: str, color: tuple[float, ...]) -> None:
    positions = range(1, len(curve.values) + 1) if curve.positions is None else curve.positions
    axes.plot(positions, curve.values, marker="o", markersize=3, label=label, color=color)
    if curve.intervals is not None:
        axes.fill_between(positions, *curve.intervals.T, alpha=0.2, color=color, linewidth=0)


def _scatter(axes: Axes, points: np.ndarray, actions: np.ndarray, num_actions: int) -> None:
    """Draw points (N, 2), or a histogram of points (N, 1), with one colour per action."""
    limits = (points[:, 0].min(), points[:, 0].max())
    for action in range(num_actions):
        chosen = points[actions == action]
        label, color = f"action {action + 1}", COLORS(action % 10)
        if points.shape[1] == 1:
            axes.hist(chosen[:, 0], bins=50, range=limits, alpha=0.6, label=label, color=color)
        else:
            axes.scatter(chosen[:, 0], chosen[:, 1], s=6, alpha=0.6, label=label, color=color)


def _project(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Project points (..., D) on at most two axes: those along which the reference points (N, D) vary most."""
    if reference.shape[1] <= 2:
        return points
    center = reference.mean(axis=0)
    _, _, axes = np.linalg.svd(reference - center, full_matrices=False)
    return (points - center) @ axes[:2].T


def _pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()

"""Plots of the movements during each action: densities, separate and merged, and means (docs/method.md#action-metrics).

Movements are in image coordinates: x grows to the right, y downwards, and plots show them that way.

Dimensions: N steps, D coordinates of a movement (1 or 2), K actions, M cells of a density along each coordinate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from evaluation.plots import COLORS, panels

OUTLIERS = 0.005
"""Share of the movements left out of plots at each end of a coordinate."""

NUM_KERNEL_CELLS = 128
NUM_HISTOGRAM_CELLS = 31
"""Cells along each coordinate of kernel densities and of histograms; the latter odd, so that 0 is a cell's middle."""

NUM_KERNEL_POINTS = 2000
"""Maximum number of points, spread evenly over all, from which a kernel density is estimated."""

CONTOURS = (0.15, 0.4, 0.65, 0.9)
"""Heights of contour lines as shares of a density's peak."""


@dataclass(frozen=True)
class Movements:
    """The steps of an evaluation whose movement is known."""

    vectors: np.ndarray  # (N, D), finite, N > 0
    actions: np.ndarray  # (N,) the action during each, 0 to K - 1
    actions_count: int  # K
    unit: str

    @property
    def num_coordinates(self) -> int:
        """The number of coordinates D."""
        return self.vectors.shape[1]

    def during(self, action: int) -> np.ndarray:
        """Return the movements (N', D) during one action."""
        return self.vectors[self.actions == action]

    @cached_property
    def limits(self) -> np.ndarray:
        """The range (D, 2) of the plots, symmetric about 0: all movements but outliers, and each action's median."""
        reach = np.abs(np.quantile(self.vectors, [OUTLIERS, 1 - OUTLIERS], axis=0)).max(axis=0)
        typical = [np.abs(np.median(self.during(action), axis=0)) for action in np.unique(self.actions)]
        reach = np.max([reach, *typical], axis=0)
        reach = 1.2 * np.where(reach > 0, reach, reach.max() or 1)
        return np.stack([-reach, reach], axis=1)


@dataclass(frozen=True)
class Density:
    """A density over a regular grid."""

    coordinates: Sequence[np.ndarray]  # D arrays (M,): the middles of the cells
    values: np.ndarray  # (M,) or (M, M), first coordinate first

    @classmethod
    def of(cls, points: np.ndarray, limits: np.ndarray) -> "Density":
        """Estimate the density of points (N, D) within limits (D, 2).

        It is a Gaussian kernel density (Scott's rule), or a histogram if that is not possible: for too few points, or
        points that lie, to the precision of the grid, on a line or in a single place.
        """
        kernel = _kernel(points)
        cells = np.diff(limits, axis=1).ravel() / NUM_KERNEL_CELLS
        if kernel is None or (np.sqrt(np.linalg.eigvalsh(kernel.covariance).min()) < cells.min()):
            return cls._histogram(points, limits)
        coordinates = [_middles(np.linspace(low, high, NUM_KERNEL_CELLS + 1)) for low, high in limits]
        grid = np.stack(np.meshgrid(*coordinates, indexing="ij")).reshape(len(limits), -1)
        return cls(coordinates, kernel(grid).reshape([NUM_KERNEL_CELLS] * len(limits)))

    @classmethod
    def _histogram(cls, points: np.ndarray, limits: np.ndarray) -> "Density":
        values, edges = np.histogramdd(
            np.clip(points, *limits.T), NUM_HISTOGRAM_CELLS, [tuple(limit) for limit in limits], density=True
        )
        return cls([_middles(edge) for edge in edges], values)


def draw_movements_alone(movements: Movements) -> Figure:
    """Draw the density of the movements during each action, one panel per action."""
    height = 2.4 if movements.num_coordinates == 1 else 3
    figure, all_axes = panels(movements.actions_count, 3, height)
    for action, axes in enumerate(all_axes):
        vectors = movements.during(action)
        axes.set_title(f"action {action + 1}: {len(vectors)} steps", fontsize="medium")
        _draw_axes(axes, movements)
        if len(vectors):
            density = Density.of(vectors, movements.limits)
            (_draw_hill if movements.num_coordinates == 1 else _draw_cloud)(axes, density, action)
    return figure


def draw_movements_merged(movements: Movements) -> Figure:
    """Draw the densities of the movements during all actions in one panel, each scaled to its own peak."""
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title("movement during each action")
    _draw_axes(axes, movements)
    for action in range(movements.actions_count):
        vectors = movements.during(action)
        if not len(vectors):
            continue
        density = Density.of(vectors, movements.limits)
        scaled = Density(density.coordinates, density.values / density.values.max())
        (_draw_hill if movements.num_coordinates == 1 else _draw_contours)(axes, scaled, action)
        axes.plot([], color=COLORS(action % 10), label=f"action {action + 1}")
    axes.legend(fontsize="small", loc="upper right")
    return figure


def draw_mean_movements(movements: Movements) -> Figure:
    """Draw the mean movement during each action: an arrow, or in one coordinate a bar with the standard deviation."""
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title("mean movement of each action")
    taken = [action for action in range(movements.actions_count) if len(movements.during(action))]
    means = np.array([movements.during(action).mean(axis=0) for action in taken])
    colors = [COLORS(action % 10) for action in taken]
    if movements.num_coordinates == 1:
        numbers = [action + 1 for action in taken]
        spreads = [movements.during(action).std() for action in taken]
        axes.barh(numbers, means[:, 0], xerr=spreads, color=colors, ecolor="grey", capsize=3)
        axes.axvline(0, color="grey", linewidth=0.8)
        axes.set(xlabel=f"mean x, {movements.unit}; whiskers: standard deviation", ylabel="action", yticks=numbers)
        axes.invert_yaxis()
        return figure
    reach = 1.3 * (np.abs(means).max() or 1)
    _draw_axes(axes, movements)
    axes.set(xlim=(-reach, reach), ylim=(reach, -reach))
    origin = np.zeros(len(taken))
    axes.quiver(origin, origin, *means.T, color=colors, angles="xy", scale_units="xy", scale=1, width=0.008)
    for action, color, mean in zip(taken, colors, means, strict=True):
        x, y = mean + 0.06 * reach * mean / (np.linalg.norm(mean) or 1)
        axes.text(x, y, str(action + 1), color=color, ha="center", va="center", fontweight="bold")
    return figure


def _kernel(points: np.ndarray) -> gaussian_kde | None:
    """Return the kernel density of points (N, D); None if their covariance is singular."""
    if len(points) <= points.shape[1] or not points.std(axis=0).all():
        return None
    try:
        return gaussian_kde(points[:: -(-len(points) // NUM_KERNEL_POINTS)].T)
    except (ValueError, np.linalg.LinAlgError):
        return None


def _middles(edges: np.ndarray) -> np.ndarray:
    return (edges[1:] + edges[:-1]) / 2


def _draw_axes(axes: Axes, movements: Movements) -> None:
    """Draw limits, labels and the lines of zero movement."""
    axes.axvline(0, color="grey", linewidth=0.6)
    axes.set(xlim=movements.limits[0], xlabel=f"x, {movements.unit}")
    if movements.num_coordinates == 1:
        axes.set_yticks([])
        axes.set_ylabel("density")
    else:
        axes.axhline(0, color="grey", linewidth=0.6)
        axes.set(ylim=movements.limits[1, ::-1], ylabel=f"y, {movements.unit} (down)", aspect="equal")


def _draw_hill(axes: Axes, density: Density, action: int) -> None:
    """Draw a density (M,) as a filled line."""
    color = COLORS(action % 10)
    axes.fill_between(density.coordinates[0], density.values, alpha=0.3, color=color, linewidth=0)
    axes.plot(density.coordinates[0], density.values, color=color)
    axes.set_ylim(0, None)


def _draw_cloud(axes: Axes, density: Density, action: int) -> None:
    """Draw a density (M, M) as shades of the action's colour."""
    shades = LinearSegmentedColormap.from_list("", ["white", to_hex(COLORS(action % 10))])
    axes.pcolormesh(*density.coordinates, density.values.T, cmap=shades, vmin=0, rasterized=True, zorder=0)


def _draw_contours(axes: Axes, density: Density, action: int) -> None:
    """Draw a density (M, M) of peak 1 as contour lines."""
    axes.contour(*density.coordinates, density.values.T, levels=CONTOURS, colors=[COLORS(action % 10)], linewidths=1.2)

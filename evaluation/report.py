"""The report of an evaluation: a self-contained HTML file, and its plots as files.

Dimensions: T frames of H x W pixels, N starts or sequences, K actions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure
from PIL import Image

from evaluation.movement_plots import Movements, draw_mean_movements, draw_movements_alone, draw_movements_merged
from evaluation.plots import Curve, draw_action_usage, draw_confusion, draw_per_position, save_figure
from evaluation.report_page import MISSING, Picture, Table, picture, plot_picture, write_page
from evaluation.results import HEADLINES, Evidence, Headline, Results, SequencePair, Value, entry
from utils.images import enlarge, tile

TEMPLATE = Path(__file__).with_name("report.html")

DEMONSTRATION_COLUMNS, PAIR_COLUMNS = 8, 12
"""Maximum number of frames in a row of a strip, for an action and for a sequence."""

DEMONSTRATION_STARTS = 4
"""Maximum number of starts from which an action is shown."""

STRIP_SIDE, ANIMATION_SIDE = 128, 192
"""Maximum length in pixels of the longer side of a frame; limits the size of the report."""

ANIMATION_FRAMES = 20
"""Maximum number of frames of an animation, evenly spaced."""

PLOT_TEXTS = {
    "per_position": "metrics against the position in the sequence",
    "movement_by_action": "density of the movement during each action, one panel an action",
    "movement_merged": "densities of the movement during all actions, each scaled to its own peak",
    "movement_mean": "mean movement of each action",
    "action_usage": "how often each action is inferred",
    "confusion": "true actions behind each inferred action",
}
"""Description of each plot, by the name of its file."""

BETTER = {"lower": "↓", "higher": "↑", "": ""}


@dataclass(frozen=True)
class HeadlineCard:
    """A headline metric with its value, as text."""

    title: str
    arrow: str
    value: str
    details: list[str]


@dataclass(frozen=True)
class ActionDemonstration:
    """Pictures of one action."""

    title: str
    caption: str
    animation: Picture
    strip: Picture


@dataclass(frozen=True)
class PairPicture:
    """A generated sequence below the true one."""

    caption: str
    picture: Picture


@dataclass(frozen=True)
class Report:
    """The contents of the HTML file, in order."""

    kind: str
    """What was done to what the title names, such as "Evaluation"."""
    title: str
    subtitle: str
    warnings: list[str]
    headlines: list[HeadlineCard]
    curves: Picture | None
    actions: list[ActionDemonstration]
    plots: list[Picture]
    knows_movement: bool
    best: list[PairPicture]
    worst: list[PairPicture]
    tables: list[Table]
    protocol: dict[str, str]
    provenance: str


def write_report(folder: Path, results: Results, evidence: Evidence) -> None:
    """Write `<folder>/report.html`, which needs no other file, and its plots as PNG and PDF to `<folder>/plots/`.

    Plots of an earlier report that this one does not have are removed.

    Raises:
        OSError: a file cannot be written.
    """
    plots = {}
    for name in PLOT_TEXTS:
        for suffix in (".png", ".pdf"):
            (folder / "plots" / f"{name}{suffix}").unlink(missing_ok=True)
    for name, figure in draw_figures(results, evidence):
        save_figure(figure, folder / "plots", name)
        plots[name] = plot_picture((folder / "plots" / f"{name}.png").read_bytes(), PLOT_TEXTS[name])
    report = Report(
        kind="Evaluation",
        title=str(results.provenance.get("run_name", folder.name)),
        subtitle=_subtitle(results.provenance),
        warnings=results.warnings,
        headlines=[_headline_card(results, headline) for headline in HEADLINES if headline.name in results.values],
        curves=plots.pop("per_position", None),
        actions=[
            demonstration(
                action,
                frames,
                evidence.action_usage[action] / max(1, evidence.action_usage.sum()),
                evidence.action_names[action] if evidence.action_names else None,
            )
            for action, frames in evidence.demonstrations.items()
        ],
        plots=list(plots.values()),
        knows_movement=evidence.movements is not None,
        best=[_pair_picture(pair) for pair in evidence.best],
        worst=[_pair_picture(pair) for pair in evidence.worst],
        tables=[_scalar_table(results), _position_table(results), _action_table(results)],
        protocol=results.protocol,
        provenance=yaml.safe_dump(results.provenance, sort_keys=False, allow_unicode=True),
    )
    write_page(folder / "report.html", report, TEMPLATE)


def curves(results: Results) -> dict[str, Curve]:
    """Return the known means by position, starting at the first generated frame, by the title of the metric."""
    found = {}
    for name, values in results.per_position.items():
        known = np.array(values[1:], np.float64)
        if name in _TITLES and np.isfinite(known).any():
            unknown = [np.nan, np.nan]
            intervals = [results.intervals.get(f"{name}/{index}", unknown) for index in range(1, len(values))]
            found[_TITLES[name]] = Curve(known, np.array(intervals))
    return found


def draw_figures(results: Results, evidence: Evidence) -> Iterator[tuple[str, Figure]]:
    """Yield the names and figures of the plots for which there is evidence."""
    if found := curves(results):
        yield "per_position", draw_per_position({"": found})
    if evidence.movements is not None and evidence.movement_actions is not None and len(evidence.movements):
        movements = Movements(
            evidence.movements, evidence.movement_actions, evidence.actions_count, evidence.movement_unit
        )
        yield "movement_by_action", draw_movements_alone(movements)
        yield "movement_merged", draw_movements_merged(movements)
        yield "movement_mean", draw_mean_movements(movements)
    if evidence.confusion is None:
        yield "action_usage", draw_action_usage(evidence.action_usage[:, None], [0])
    else:
        yield "action_usage", draw_action_usage(evidence.confusion, evidence.true_actions)
        yield "confusion", draw_confusion(evidence.confusion, evidence.true_actions)


_TITLES = {metric.name.rpartition("/")[0]: metric.title for metric in HEADLINES}


def format_value(value: Value) -> str:
    """Format a number, or a list of them, with four significant digits; unknown values become a dash."""
    match value:
        case None:
            return MISSING
        case list():
            return f"({', '.join(map(format_value, value))})"
        case float():
            return f"{value:.4g}"
    return f"{value}"


def format_interval(results: Results, name: str) -> str:
    """Format the interval of a metric as `[low, high]`; empty if it has none."""
    interval = results.intervals.get(name)
    return f"[{format_value(interval[0])}, {format_value(interval[1])}]" if interval else ""


def _subtitle(provenance: dict[str, Any]) -> str:
    """Return the date and the checkpoint of the evaluation in a line."""
    digest = str(provenance.get("checkpoint_sha256") or "")[:12]
    date = str(provenance.get("date", ""))
    return ", ".join(filter(None, [date, digest and f"checkpoint {digest}"]))


def _headline_card(results: Results, headline: Headline) -> HeadlineCard:
    value, samples = results.values[headline.name], entry(results.samples, headline.name)
    details = [format_interval(results, headline.name), f"n = {samples}" if samples is not None else ""]
    if value is None:
        details = [entry(results.reasons, headline.name) or "not computed"]
    return HeadlineCard(headline.title, BETTER[headline.better], format_value(value), list(filter(None, details)))


def _scalar_table(results: Results) -> Table:
    """Return a table of the scalar metrics, one row per metric."""
    rows = {}
    for name, value in results.scalars.items():
        samples = entry(results.samples, name)
        reason = entry(results.reasons, name) if value is None else None
        rows[name] = [
            format_value(value),
            format_interval(results, name),
            "" if samples is None else str(samples),
            reason or "",
        ]
    return Table("Metrics", ["metric", "value", "95% interval", "samples", "why it is missing"], rows)


def _position_table(results: Results) -> Table:
    """Return a table of the metrics by position, one row per position, one column per metric."""
    columns = results.per_position
    positions = range(max(map(len, columns.values()), default=0))
    rows = {
        str(position): [format_value(dict(enumerate(values)).get(position)) for values in columns.values()]
        for position in positions
    }
    return Table("By position in the sequence", ["position", *columns], rows)


def _action_table(results: Results) -> Table:
    """Return a table of the metrics by action, one row per metric, one column per action."""
    rows = {name: [format_value(value) for value in values] for name, values in results.per_action.items()}
    num_actions = max(map(len, rows.values()), default=0)
    return Table("By action", ["metric", *(f"action {number + 1}" for number in range(num_actions))], rows)


def demonstration(action: int, frames: np.ndarray, share: float, called: str | None = None) -> ActionDemonstration:
    """Make the pictures of an action, from 0, that is repeated.

    Args:
        action: the action.
        frames: uint8 (N, T, H, W, 3), from N starts.
        share: share of the steps in which the action is inferred.
        called: its name, if it has one.
    """
    frames = frames[:DEMONSTRATION_STARTS]
    shown = _evenly_spaced(frames.shape[1], DEMONSTRATION_COLUMNS)
    name = f"action {action + 1}{f': {called}' if called else ''}"
    return ActionDemonstration(
        title=f"A{name[1:]}",
        caption=f"Inferred in {share:.1%} of the steps. A row is a start; frames {', '.join(map(str, shown))}.",
        animation=_animation(frames, f"animation of {name}, repeated from {len(frames)} starts"),
        strip=_strip(frames[:, shown], f"frames of {name}, repeated from {len(frames)} starts, one row each"),
    )


def _pair_picture(pair: SequencePair) -> PairPicture:
    shown = _evenly_spaced(len(pair.reference), PAIR_COLUMNS)
    frames = np.stack([pair.reference[shown], pair.generated[shown]])
    return PairPicture(
        caption=f"{pair.name}: MSE {format_value(pair.mse)}; frames {', '.join(map(str, shown))}",
        picture=_strip(frames, f"true frames above generated ones, {pair.name}"),
    )


def _evenly_spaced(count: int, limit: int) -> list[int]:
    """Return at most `limit` of `count` indices, including the first and the last."""
    return np.linspace(0, count - 1, min(count, limit)).round().astype(int).tolist()


def _strip(frames: np.ndarray, alt: str) -> Picture:
    """Arrange frames (rows, columns, H, W, 3) in a picture."""
    return picture([Image.fromarray(tile(_fit(frames, STRIP_SIDE)))], alt, quality=90)


def _animation(frames: np.ndarray, alt: str) -> Picture:
    """Animate sequences (N, T, H, W, 3) side by side, in two columns, in a loop."""
    frames = _fit(frames[:, _evenly_spaced(frames.shape[1], ANIMATION_FRAMES)], ANIMATION_SIDE)
    columns = min(2, len(frames))
    frames = np.pad(frames, ((0, -len(frames) % columns), *[(0, 0)] * 4), constant_values=255)
    pages = [tile(page.reshape(-1, columns, *page.shape[1:])) for page in frames.swapaxes(0, 1)]
    return picture([Image.fromarray(page) for page in pages], alt, quality=75)


def _fit(frames: np.ndarray, side: int) -> np.ndarray:
    """Shrink frames (..., H, W, 3) to a longer side of at most `side`; enlarge small ones by a whole factor."""
    height, width = frames.shape[-3:-1]
    longer = max(height, width)
    if longer <= side:
        return enlarge(frames, side // longer)
    size = (max(1, width * side // longer), max(1, height * side // longer))
    images = map(Image.fromarray, frames.reshape(-1, height, width, 3))
    shrunk = [np.asarray(image.resize(size, Image.Resampling.BOX)) for image in images]
    return np.stack(shrunk).reshape(*frames.shape[:-3], size[1], size[0], 3)

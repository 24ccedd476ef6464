"""Figures for a model card: those of an evaluation, and of how well a model plays, each with its interval."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.configuration import evaluation_of
from evaluation.dataset_evaluator import DATA_FILE
from evaluation.play.figures import TITLES
from evaluation.results import HEADLINES, read_results
from utils.command import UserError
from utils.configuration import Configuration
from utils.measurement import RESULTS_DIRECTORY


@dataclass(frozen=True)
class Figure:
    """A measured value."""

    metric: str
    """Its name in the file it comes from."""
    title: str
    better: str
    """Which values are better: "higher", "lower" or ""."""
    value: float
    interval: tuple[float, float] | None
    """95%, low and high; None if unknown."""

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.value:.4g}"
        return f"{self.value:.4g} [{self.interval[0]:.4g}, {self.interval[1]:.4g}]"


@dataclass(frozen=True)
class Figures:
    """What was measured in one go."""

    task: str
    """What was measured, such as "reconstruction of held-out videos"."""
    checkpoint_sha256: str
    """The checksum of the checkpoint that was measured."""
    figures: list[Figure]


def find_figures(
    config: Configuration, checkpoint_sha256: str, playability: Path | None, evaluation: Path | None
) -> list[Figures]:
    """Return the figures of a checkpoint: from the files named, else from where the run's commands put them.

    Raises:
        UserError: a file that is named cannot be read, or has the figures of another checkpoint.
    """
    played = [playability] if playability else sorted(RESULTS_DIRECTORY.glob("playability.*.json"))
    usual = evaluation_of(config).logging.output_directory / DATA_FILE
    found = [
        _first(read_playability, played, checkpoint_sha256, playability is not None),
        _first(read_evaluation, [evaluation or usual], checkpoint_sha256, evaluation is not None),
    ]
    return [figures for figures in found if figures]


def read_playability(path: Path) -> Figures:
    """Read what `evaluation.playability` wrote.

    Raises:
        UserError: it is something else.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
        measured = [results["any_footage"]["figures"][name]["generated"] for name in TITLES]
        figures = [
            Figure(name, title.text, title.better, float(estimate["value"]), _interval(estimate["interval"]))
            for (name, title), estimate in zip(TITLES.items(), measured, strict=True)
            if estimate["value"] is not None
        ]
        return Figures("playing", str(results["checkpoint_sha256"]), figures)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not the figures of play; name what python -m evaluation.playability wrote") from error


def read_evaluation(path: Path) -> Figures:
    """Read the headline metrics of a `data.yml`.

    Raises:
        UserError: it is something else.
    """
    results = read_results(path)
    figures = [
        Figure(metric.name, metric.title, metric.better, float(value), _interval(results.intervals.get(metric.name)))
        for metric in HEADLINES
        if isinstance(value := results.values.get(metric.name), int | float)
    ]
    return Figures("reconstructing held-out videos", str(results.provenance.get("checkpoint_sha256")), figures)


def _first(read: Any, paths: Iterable[Path], checkpoint_sha256: str, are_named: bool) -> Figures | None:
    """Return the first figures of a checkpoint; None if there are none."""
    for path in paths:
        try:
            figures: Figures = read(path)
        except UserError:
            if are_named:
                raise
            continue
        if figures.checkpoint_sha256 == checkpoint_sha256:
            return figures
        if are_named:
            raise UserError(f"{path}: has the figures of another checkpoint; measure this one, or leave the file out")
    return None


def _interval(values: Any) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))

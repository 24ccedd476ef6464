"""The report of a run: a self-contained HTML file of how training goes, for which no account is needed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from evaluation.plots import draw_progress
from evaluation.report_page import MISSING, Picture, Table, drawing, picture, write_page
from training.validation import EvaluationResult
from utils.configuration import Configuration
from utils.logger import METRICS, read_metrics
from utils.sections import differences

REPORT = "report.html"

TEMPLATE = Path(__file__).with_name("run_report.html")

SECTIONS = {"train": "Training", "eval": "On held-out videos", "health": "Warnings"}
"""The titles of curves by the beginning of the names of their scalars."""

PICTURE_SIDE = 2000
"""Maximum length in pixels of the longer side of a picture; limits the size of the report."""


@dataclass(frozen=True)
class RunReport:
    """The contents of the HTML file, in order."""

    run_name: str
    step: int
    max_steps: int
    summary: str
    warnings: list[str]
    actions_in_words: str
    pictures: dict[str, Picture]
    """By title."""
    curves: dict[str, Picture]
    """By title."""
    configuration: Table


def write_run_report(
    config: Configuration, step: int, evaluation: EvaluationResult, scalars: Mapping[str, float], warnings: list[str]
) -> None:
    """Write `results/<run_name>/report.html` after an evaluation; its curves are those of `metrics.jsonl`.

    Args:
        config: the run's configuration.
        step: the step that was evaluated.
        evaluation: what was found.
        scalars: those of the evaluation, which are not logged yet.
        warnings: what to change.

    Raises:
        OSError: it cannot be written.
    """
    directory = config.logging.output_directory
    logged = read_metrics(directory / METRICS)
    for name, value in scalars.items():
        logged.setdefault(name, {})[step] = value
    report = RunReport(
        run_name=config.logging.run_name,
        step=step,
        max_steps=config.training.max_steps,
        summary=evaluation.summary(),
        warnings=warnings,
        actions_in_words=evaluation.actions_in_words,
        pictures=_pictures(evaluation),
        curves=_curves(logged),
        configuration=_configuration_table(config),
    )
    write_page(directory / REPORT, report, TEMPLATE)


def _pictures(evaluation: EvaluationResult) -> dict[str, Picture]:
    found = {}
    if evaluation.animation is not None:
        pages = [Image.fromarray(page) for page in evaluation.animation]
        found["truth above reconstruction, with the inferred actions"] = picture(pages, "reconstruction", quality=75)
    for name, pixels in evaluation.images.items():
        image = Image.fromarray(pixels)
        image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        title = name.replace("_", " ")
        found[title] = picture([image], title, quality=90)
    return found


def _curves(scalars: dict[str, dict[int, float]]) -> dict[str, Picture]:
    """Draw a plot per section; those that a slash and a number set apart share a panel, warnings too."""
    sections: dict[str, dict[str, dict[str, dict[int, float]]]] = {}
    for full_name, values in scalars.items():
        section, _, name = full_name.partition("/")
        if section == "health":
            name = f"{section}/{name}"
        group, _, label = name.partition("/")
        sections.setdefault(section, {}).setdefault(group, {})[label or "mean"] = values
    plots = {SECTIONS.get(section, section): groups for section, groups in sections.items()}
    return {title: drawing(draw_progress(groups), f"{title}, by step") for title, groups in plots.items()}


def _configuration_table(config: Configuration) -> Table:
    rows = {key: [_text(value), _text(default)] for key, (value, default) in differences(config).items()}
    return Table("Configuration", ["key", "value", "default"], rows)


def _text(value: object) -> str:
    return MISSING if value is None else json.dumps(value, ensure_ascii=False)

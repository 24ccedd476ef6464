"""The report of how well a model plays: a self-contained HTML file in the form of that of an evaluation.

Dimensions: K actions, P points of a timeline.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evaluation.play.estimates import Timeline
from evaluation.play.figures import TITLES, Figure, PlayFigures
from evaluation.play.measure import MeasuredPlay
from evaluation.play.table import format_estimate, format_movement
from evaluation.plots import FILE_RESOLUTION, Curve, draw_per_position
from evaluation.report import BETTER, TEMPLATE, HeadlineCard, Report, demonstration
from evaluation.report_page import Picture, Table, plot_picture, write_page

MEANINGS = {
    "following": "share of steps in which the inverse model reads the pressed action off the generated frames, with "
    "the actions of true play as long as it lasts, beside its accuracy on true frames; all actions count alike",
    "following_random_presses": "the same with random presses, over all frames; presses against a limit, such as a "
    "wall, change nothing and cannot be read, also in a perfect model",
    "explained_movement": "share of the variance of the tracked object's movement that the mean of each action "
    "explains",
    "distinctness": "mean difference between the frames that follow the same true frame after different actions, as a "
    "multiple of the mean change between consecutive true frames; the curve is by the number of steps held",
    "stillness": "mean absolute difference from the starting frame, of the pixels that no true sequence changes",
    "sharpness": "energy of the gradient where true play moves, as a multiple of that of true frames",
    "psnr": "with the actions of true play, against the true frames of the same moment; likewise SSIM",
    "delta_psnr": "PSNR after the inferred actions less that after random ones, in the first steps after a true frame",
    "frechet_distance": "distance from true play of 50 frames each of the games with the actions of true play, by the "
    "grey levels and changes of 6 x 6 cells; the figure is that of the last frames",
}
"""What each figure is, as the report explains it."""


def write_play_report(path: Path, measured: MeasuredPlay, provenance: dict[str, Any]) -> None:
    """Write the report.

    Args:
        path: the HTML file.
        measured: the figures and pictures.
        provenance: `run_name`, and whatever else identifies what was measured, in YAML's own types.

    Raises:
        OSError: it cannot be written.
    """
    play = measured.figures
    report = Report(
        kind="Playability",
        title=str(provenance["run_name"]),
        subtitle=f"{play.games} games of {play.frames} frames, {play.true_sequences} true sequences of "
        f"{play.true_frames}",
        warnings=play.remarks,
        headlines=[_card(name, figure) for name, figure in play.figures.items()],
        curves=_curves(play.figures),
        actions=[
            demonstration(action, frames, play.actions[action].inferred) for action, frames in enumerate(measured.shown)
        ],
        plots=[],
        knows_movement=True,
        best=[],
        worst=[],
        tables=[_figure_table(play), _action_table(play)],
        protocol={TITLES[name].text: text for name, text in MEANINGS.items()},
        provenance=yaml.safe_dump(provenance, sort_keys=False, allow_unicode=True),
    )
    write_page(path, report, TEMPLATE)


def _card(name: str, figure: Figure) -> HeadlineCard:
    value, _, interval = format_estimate(figure.generated).partition(" ")
    details = [interval, f"true play: {format_estimate(figure.true)}" if figure.true else ""]
    return HeadlineCard(TITLES[name].text, BETTER[TITLES[name].better], value, list(filter(None, details)))


def _curves(figures: dict[str, Figure]) -> Picture:
    """Draw all timelines, a panel each, with that of true play where there is one."""
    runs = {
        run: {
            TITLES[name].text: _curve(timeline)
            for name, figure in figures.items()
            if (timeline := getattr(figure, attribute)) and timeline.estimates
        }
        for run, attribute in (("generated", "timeline"), ("true play", "true_timeline"))
    }
    file = io.BytesIO()
    draw_per_position(runs).savefig(file, format="png", dpi=FILE_RESOLUTION)
    return plot_picture(file.getvalue(), "figures by frame number, generated and true")


def _curve(timeline: Timeline) -> Curve:
    unknown = (np.nan, np.nan)
    return Curve(
        values=np.array([estimate.value for estimate in timeline.estimates], np.float64),
        intervals=np.array([estimate.interval or unknown for estimate in timeline.estimates], np.float64),
        positions=np.array(timeline.first_frame),
    )


def _figure_table(play: PlayFigures) -> Table:
    rows = {
        TITLES[name].text: [
            format_estimate(figure.generated),
            str(figure.generated.samples),
            format_estimate(figure.true),
            str(figure.true.samples) if figure.true else "",
        ]
        for name, figure in play.figures.items()
    }
    return Table("Figures", ["figure", "generated", "samples", "true play", "samples"], rows)


def _action_table(play: PlayFigures) -> Table:
    titles = ["action", "inferred", "followed", "followed in true play", "moves by x, y", "moves by x, y in true play"]
    rows = {
        str(action.key): [
            f"{action.inferred:.1%}",
            format_estimate(action.followed),
            format_estimate(action.true_followed),
            format_movement(action.movement),
            format_movement(action.true_movement),
        ]
        for action in play.actions
    }
    return Table("By action", titles, rows)

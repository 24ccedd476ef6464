"""Results of several evaluations side by side: a table on the terminal, and plots.

python -m evaluation.compare evaluation_results/a/data.yml evaluation_results/b/data.yml

`comparison.png` and `.pdf` show the headline metrics with their intervals, `per_position.png` and `.pdf` the means by
position in the sequence.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pydantic import Field

from evaluation.plots import COLORS, draw_per_position, panels, save_figure
from evaluation.report import BETTER, curves, format_interval, format_value
from evaluation.report_page import MISSING
from evaluation.results import HEADLINES, Headline, Results, read_results
from utils.command import CommandParser, UserError, run_command
from utils.files import require_writable
from utils.sections import Section, load_sections

PAPER = Path(__file__).with_name("paper.yaml")
DEFAULT_OUTPUT = Path("evaluation_results/comparison")


class PublishedNumber(Section):
    """A number from a paper, with its citation."""

    value: float
    citation: Annotated[str, Field(pattern=r"\S")]


class Paper(Section):
    """The contents of `paper.yaml`: published numbers of each data set by the name of the metric."""

    bair: dict[str, PublishedNumber]
    breakout: dict[str, PublishedNumber]
    tennis: dict[str, PublishedNumber]


Published = Mapping[str, PublishedNumber]


def main() -> None:
    """Print the table and write the plots."""
    parser = CommandParser(
        "Show the results of several evaluations side by side.",
        "python -m evaluation.compare evaluation_results/a/data.yml evaluation_results/b/data.yml --paper breakout",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="DATA.YML", help="what evaluate_dataset.py wrote")
    parser.add_argument(
        "--paper", choices=list(Paper.model_fields), help=f"add the published numbers that {PAPER.name} holds"
    )
    parser.add_argument(
        "--output", type=Path, default=DEFAULT_OUTPUT, metavar="FOLDER", help="where plots go (default: %(default)s)"
    )
    arguments = parser.parse_args()
    require_writable(arguments.output, "choose another folder with --output")
    runs = read_runs(arguments.files)
    published = read_published(PAPER, arguments.paper) if arguments.paper else None

    print(table(runs, published))
    for name, number in (published or {}).items():
        print(f"paper, {name}: {number.citation}")
    if published == {}:
        print(f"no numbers of '{arguments.paper}' in {PAPER}: add those that you have a citation for")
    save_figure(draw_metrics(runs, published or {}), arguments.output, "comparison")
    by_position = {run: curves(results) for run, results in runs.items()}
    if any(by_position.values()):
        save_figure(draw_per_position(by_position), arguments.output, "per_position")
    print(f"plots written to {arguments.output}")


def read_runs(paths: list[Path]) -> dict[str, Results]:
    """Read results; return them by the name of their run, or by the path of their file if names repeat.

    Raises:
        UserError: a file is not a `data.yml`, is given twice, or holds none of the metrics that can be compared.
    """
    found = {str(path): read_results(path) for path in paths}
    if len(found) < len(paths):
        raise UserError("the same data.yml is given twice; name each file once")
    for path, results in found.items():
        if all(_number(results, metric) is None for metric in HEADLINES):
            raise UserError(f"{path}: holds none of the metrics that are compared; name a data.yml of an evaluation")
    names = [str(results.provenance.get("run_name")) for results in found.values()]
    return found if len(set(names)) < len(names) else dict(zip(names, found.values(), strict=True))


def read_published(path: Path, data_set: str) -> Published:
    """Read the published numbers of a data set, by the name of the metric.

    Raises:
        ConfigurationError: the file cannot be read, or a number lacks its citation.
    """
    return getattr(load_sections(Paper, path), data_set)


def table(runs: Mapping[str, Results], published: Published | None = None) -> str:
    """Return a text table of all scalar metrics: a row per metric, a column per run, and one for published numbers."""
    columns = {run: _cells(results) for run, results in runs.items()}
    if published is not None:
        columns["paper" if published else "paper (no numbers)"] = {
            name: format_value(number.value) for name, number in published.items()
        }
    names = dict.fromkeys(
        [metric.name for metric in HEADLINES] + [name for cells in columns.values() for name in cells]
    )
    rows = [["metric", *columns]]
    rows += [
        [name + _ARROWS.get(name, ""), *(cells.get(name, MISSING) for cells in columns.values())]
        for name in names
        if any(name in cells for cells in columns.values())
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def draw_metrics(runs: Mapping[str, Results], published: Published) -> Figure:
    """Draw the headline metrics, one panel each: points with intervals, and published numbers as lines."""
    metrics = [metric for metric in HEADLINES if any(_number(results, metric) is not None for results in runs.values())]
    figure, all_axes = panels(len(metrics), 3, 1.3 + 0.25 * len(runs))
    for axes, metric in zip(all_axes, metrics, strict=True):
        for row, results in enumerate(runs.values()):
            value, color = _number(results, metric), COLORS(row % 10)
            if value is not None:
                low, high = results.intervals.get(metric.name, [value, value])
                axes.hlines(row, low, high, color=color)
                axes.plot(value, row, marker="o", color=color)
        if number := published.get(metric.name):
            axes.axvline(number.value, color="grey", linestyle="--", label="paper")
            axes.legend(fontsize="x-small")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.set_title(f"{metric.title} {BETTER[metric.better]}", fontsize="medium")
        axes.set(ylim=(len(runs) - 0.5, -0.5), yticks=range(len(runs)), yticklabels=list(runs))
    return figure


_ARROWS = {metric.name: f" {BETTER[metric.better]}".rstrip() for metric in HEADLINES}


def _cells(results: Results) -> dict[str, str]:
    """Return the scalar metrics, known or missing, as `value [low, high]`."""
    return {
        name: f"{format_value(value)} {format_interval(results, name)}".rstrip()
        for name, value in results.scalars.items()
        if not isinstance(value, list)
    }


def _number(results: Results, headline: Headline) -> float | None:
    value = results.values.get(headline.name)
    return value if isinstance(value, float | int) else None


if __name__ == "__main__":
    run_command(main)

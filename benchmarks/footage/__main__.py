"""Any footage becomes a game: games, a robot and filmed videos are prepared, trained and measured as a user would.

python -m benchmarks.footage --trials pong bikes --minutes 30
"""

import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.footage.course import Setting, run_trial
from benchmarks.footage.trials import TRIALS
from utils.command import (
    EXIT_DONE,
    EXIT_SKIPPED,
    CommandParser,
    UserError,
    non_negative_int,
    one_line,
    positive_float,
    positive_int,
    run_command,
    tell,
)
from utils.device import select_device
from utils.files import require_writable
from utils.measurement import report_path, writable_file, write_report

SHOWN = ("following_share", "distinctness", "stillness", "sharpness")
"""Figures of the table that is printed."""


def main() -> int:
    """Run the trials that have no result yet, write and print each at once, and return the exit code."""
    parser = CommandParser(
        "Try whether any footage becomes a game: for each trial, prepare its footage, train for some minutes, play "
        "and measure the play. Results are written as they come; trials that have one of the same time, threads and "
        f"seed are not repeated. Exit code {EXIT_SKIPPED} if one failed.",
        "python -m benchmarks.footage --trials pong bikes --minutes 30",
    )
    add = parser.add_argument
    add(
        "--trials",
        nargs="+",
        choices=TRIALS,
        default=list(TRIALS),
        metavar="NAME",
        help=f"which to run, of {', '.join(TRIALS)} (default: all)",
    )
    add("--minutes", type=positive_float, default=30, metavar="M", help="time of each training (default: 30)")
    add("--threads", type=positive_int, default=2, metavar="N", help="threads of each command (default: 2)")
    add("--seed", type=non_negative_int, default=0, help="of what is filmed and played (default: 0)")
    add(
        "--output_directory",
        type=Path,
        default=Path("results/footage"),
        metavar="DIR",
        help="where footage, data sets and checkpoints go (default: results/footage)",
    )
    add("--json", type=writable_file, metavar="FILE", help="where to write (default: in benchmarks/results/)")
    arguments = parser.parse_args()
    require_writable(arguments.output_directory, "choose another --output_directory")
    folder = arguments.output_directory.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    device = select_device("auto")
    path = (arguments.json or report_path("footage", "trials", device)).absolute()
    setting = Setting(folder, arguments.minutes, arguments.threads, arguments.seed)
    results = _run(arguments.trials, setting, path, device)
    for name in arguments.trials:
        print(line(name, results[name]))
    print(f"written to {path}")
    return EXIT_SKIPPED if any("failed" in results[name] for name in arguments.trials) else EXIT_DONE


def _run(trials: list[str], setting: Setting, path: Path, device: torch.device) -> dict[str, Any]:
    """Run the trials that have no result in the file at `path`, and return all results, each written at once."""
    results: dict[str, Any] = _read(path)
    for name in trials:
        if is_finished(results.get(name), setting):
            tell(f"{name}: has a result already")
            continue
        try:
            results[name] = run_trial(name, TRIALS[name], setting, path.parent / f"footage.{name}.gif")
        except UserError as error:
            tell(f"{name}: failed: {one_line(error)}")
            results[name] = {**setting.described, "failed": one_line(error)}
        write_report("footage", "trials", results, device, path)
    return results


def _read(path: Path) -> dict[str, Any]:
    """Return the results of earlier calls; none if there is no such file.

    Raises:
        UserError: it is no file of results.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["results"])
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: holds no results of trials; name another file with --json") from error


def is_finished(result: dict[str, Any] | None, setting: Setting) -> bool:
    """Whether a result of the same setting is there, and not a failure."""
    return result is not None and "failed" not in result and setting.described.items() <= result.items()


def line(name: str, result: dict[str, Any]) -> str:
    """Return a result in one line."""
    if "failed" in result:
        return f"{name:<14} failed: {result['failed']}"
    values = ((figure, result["figures"][figure]["value"]) for figure in SHOWN)
    figures = ", ".join(f"{figure} {'-' if value is None else f'{value:.3f}'}" for figure, value in values)
    missed = [figure for figure, is_reached in result["reached"].items() if not is_reached]
    verdict = f"below its target: {', '.join(missed)}" if missed else "all targets reached"
    return f"{name:<14} {result['steps']} steps: {figures}; {verdict}"


if __name__ == "__main__":
    run_command(main)

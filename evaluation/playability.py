"""Measure how well a trained model plays: the command for `evaluation.play` and, of Breakout, `evaluation.breakout`.

python -m evaluation.playability --config configs/00_breakout_demo.yaml
"""

import argparse
from dataclasses import asdict

import torch

from evaluation.breakout import playability as breakout
from evaluation.breakout.held_out import shows_breakout
from evaluation.play.measure import measure_play
from evaluation.play.report import write_play_report
from evaluation.play.table import table
from playing.simulator import checkpoint_path, digest, load_simulator
from utils.command import UserError, non_negative_int, positive_int, run_command, tell
from utils.configuration import Configuration, load_configuration
from utils.device import select_device
from utils.files import require_writable
from utils.measurement import measurement_parser, writable_file, write_report

NUM_GAMES, NUM_FRAMES = 8, 1000
NUM_BREAKOUT_GAMES, NUM_BREAKOUT_FRAMES = 16, 200
"""Number of games and of frames generated in each by default: for the figures of any footage, and for Breakout's."""


def main() -> None:
    """Run the command."""
    arguments = _parse()
    config = load_configuration(arguments.config, arguments.overrides)
    report = arguments.report or config.logging.output_directory / "playability.html"
    require_writable(report.parent, "choose another file with --report")
    device = select_device(arguments.device)
    simulator, _ = load_simulator(config, device)
    of_breakout = _measure_breakout(config, device, arguments) if shows_breakout(config) else None
    measured = measure_play(
        config,
        simulator,
        arguments.games or NUM_GAMES,
        arguments.frames or NUM_FRAMES,
        arguments.seed,
        None if of_breakout else arguments.animation,
    )
    print(table(measured.figures))
    if of_breakout:
        print(f"\nBreakout:\n{breakout.table(of_breakout)}")
    provenance = {
        "run_name": config.logging.run_name,
        "checkpoint_sha256": digest(checkpoint_path(config)),
        "seed": arguments.seed,
    }
    results = provenance | (asdict(of_breakout) if of_breakout else {})
    write_play_report(report, measured, provenance)
    print(f"report written to {report}")
    results |= {"any_footage": asdict(measured.figures)}
    print(f"written to {write_report('playability', arguments.config, results, device, arguments.json)}")


def _parse() -> argparse.Namespace:
    parser = measurement_parser(
        "Measure how well a trained model can be played: plays random actions, and those of true play, from held-out "
        "frames. Needs the checkpoint of the run and its data set. Of Breakout, if true actions are known, paddle, "
        "ball and bricks are measured too.",
        "python -m evaluation.playability --config configs/00_breakout_demo.yaml",
    )
    add = parser.add_argument
    add(
        "--games",
        type=positive_int,
        metavar="N",
        help=f"games played side by side (default: {NUM_GAMES}, and {NUM_BREAKOUT_GAMES} for Breakout's own figures)",
    )
    add(
        "--frames",
        type=positive_int,
        metavar="N",
        help=f"frames generated in each (default: {NUM_FRAMES}, and {NUM_BREAKOUT_FRAMES} for Breakout's own figures)",
    )
    add(
        "--animation",
        type=writable_file,
        metavar="FILE",
        help="also write a GIF of the first games, with the actions drawn in",
    )
    add("--seed", type=non_negative_int, default=0, help="of starting frames and actions (default: 0)")
    add(
        "--report",
        type=writable_file,
        metavar="FILE.html",
        help="where the report with curves goes (default: playability.html among the results of the run)",
    )
    return parser.parse_args()


def _measure_breakout(
    config: Configuration, device: torch.device, arguments: argparse.Namespace
) -> breakout.Playability | None:
    """Measure Breakout's own figures; None, with a line that says why, if they cannot be measured."""
    games, frames = arguments.games or NUM_BREAKOUT_GAMES, arguments.frames or NUM_BREAKOUT_FRAMES
    try:
        return breakout.measure_playability(config, device, games, frames, arguments.seed, arguments.animation)
    except UserError as reason:
        tell(f"Breakout's own figures are left out: {reason}")
        return None


if __name__ == "__main__":
    run_command(main)

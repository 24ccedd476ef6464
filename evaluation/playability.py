"""Measure the playability of a trained Breakout model: the command for `evaluation.breakout.playability`.

python -m evaluation.playability --config configs/00_breakout_demo.yaml
"""

from dataclasses import asdict

from evaluation.breakout.playability import measure_playability, table
from playing.simulator import checkpoint_path, digest
from utils.command import non_negative_int, positive_int, run_command
from utils.configuration import load_configuration
from utils.device import select_device
from utils.measurement import measurement_parser, writable_file, write_report


def main() -> None:
    """Run the command."""
    parser = measurement_parser(
        "Measure how well a trained Breakout model can be played: plays random actions from held-out frames. Needs the "
        "checkpoint of the run and its data set with true actions.",
        "python -m evaluation.playability --config configs/00_breakout_demo.yaml",
    )
    add = parser.add_argument
    add("--games", type=positive_int, default=16, metavar="N", help="games played side by side (default: 16)")
    add("--frames", type=positive_int, default=200, metavar="N", help="frames generated in each (default: 200)")
    add(
        "--animation",
        type=writable_file,
        metavar="FILE",
        help="also write a GIF of the first games, with the actions drawn in",
    )
    add("--seed", type=non_negative_int, default=0, help="of starting frames and actions (default: 0)")
    arguments = parser.parse_args()
    config = load_configuration(arguments.config, arguments.overrides)
    device = select_device(arguments.device)
    playability = measure_playability(
        config, device, arguments.games, arguments.frames, arguments.seed, arguments.animation
    )
    print(table(playability))
    results = {
        "run_name": config.logging.run_name,
        "checkpoint_sha256": digest(checkpoint_path(config)),
        "seed": arguments.seed,
        **asdict(playability),
    }
    print(f"written to {write_report('playability', arguments.config, results, device, arguments.json)}")


if __name__ == "__main__":
    run_command(main)

"""Train a playable video model: `python train.py --config configs/00_breakout_demo.yaml`."""

import shlex
import sys

from utils.command import EXIT_DONE, configuration_parser, run_command
from utils.configuration import load_configuration


def main() -> int:
    """Train or go on training; returns the exit code."""
    parser = configuration_parser(
        "Learn discrete actions and a playable video model from a folder of unlabelled videos. Run the same command "
        "again to continue an interrupted run from its last checkpoint.",
        "python train.py --config configs/00_breakout_demo.yaml --set training.max_steps=500",
    )
    arguments = parser.parse_args()
    config = load_configuration(arguments.config, arguments.overrides)

    from training.run import train  # takes seconds, for which --help and a mistyped key need not wait

    code = train(config, arguments.device)
    longer = ["--set", f"training.max_steps={2 * config.training.max_steps}"] if code == EXIT_DONE else []
    print(f"to go on    python {shlex.join([*sys.argv, *longer])}")
    return code


if __name__ == "__main__":
    run_command(main)

"""Train a playable video model: `python train.py --config configs/00_breakout_demo.yaml`."""

import shlex
import sys
from pathlib import Path

from utils.command import EXIT_DONE, configuration_parser, run_command
from utils.command_names import PROGRAM
from utils.configuration import load_configuration


def main() -> int:
    """Train, or continue training; return the exit code."""
    parser = configuration_parser(
        "Learn discrete actions and a playable video model from a folder of unlabelled videos. Run the same command "
        "again to continue an interrupted run from its last checkpoint.",
        "python train.py --config configs/00_breakout_demo.yaml --set training.max_steps=500",
    )
    arguments = parser.parse_args()
    config = load_configuration(arguments.config, arguments.overrides)

    from training.run import train
    from utils.distributed import is_one_of_several  # imported here since it takes seconds

    code = train(config, arguments.device)
    if is_one_of_several():
        return code  # it was started by another command
    overrides = arguments.overrides
    if code == EXIT_DONE:
        others = [override for override in overrides if not override.startswith("training.max_steps=")]
        overrides = [*others, f"training.max_steps={2 * config.training.max_steps}"]
    again = ["--config", arguments.config, "--device", arguments.device]
    again += [part for override in overrides for part in ("--set", override)]
    print(f"to go on    {_this_command()} {shlex.join(again)}")
    return code


def _this_command() -> str:
    """Return how this command was called: `playable-video train`, or the running Python and the script.

    The path of Python is relative to the working folder if it is inside.
    """
    if sys.argv[0].startswith(PROGRAM):
        return sys.argv[0]
    executable = Path(sys.executable)
    is_inside = executable.is_relative_to(Path.cwd())
    return shlex.join([str(executable.relative_to(Path.cwd()) if is_inside else executable), sys.argv[0]])


if __name__ == "__main__":
    run_command(main)

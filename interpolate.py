"""Play between two actions, or each action: `python interpolate.py --config configs/00_breakout_demo.yaml --sweep`."""

import argparse

from playing.arguments import chosen_model, playing_parser
from utils.command import EXIT_DONE, options_from, positive_float, positive_int, run_command

DEFAULT_STEPS = 10


def parse_arguments() -> argparse.Namespace:
    """Parse the command line.

    Raises:
        UserError: arguments contradict each other.
    """
    parser = playing_parser(
        "From one starting frame, play a trained model with what lies between two actions, one video and one row of a "
        "picture per step; or, with --sweep, with each action, side by side in a picture and a video.",
        "python interpolate.py --config configs/02_breakout.yaml --first_action 1 --second_action 3",
    )
    add = parser.add_argument
    add("--first_action", type=int, metavar="I", help="where to begin, an action from 1")
    add("--second_action", type=int, metavar="J", help="where to end, an action from 1")
    add("--steps", type=int, metavar="N", help=f"how many steps between them, ends included (default: {DEFAULT_STEPS})")
    add("--sweep", action="store_true", help="instead, play each action: what does it do?")
    add("--frames", type=positive_int, default=10, metavar="N", help="how many frames to play (default: 10)")
    add("--fps", type=positive_float, default=10.0, help="frames a second in videos (default: 10)")
    arguments = parser.parse_args()

    of_two_actions = {name: getattr(arguments, name) for name in ("first_action", "second_action", "steps")}
    given = [name for name, value in of_two_actions.items() if value is not None]
    if arguments.sweep and given:
        parser.error(f"--{given[0]} does not go with --sweep, which plays each action")
    if not arguments.sweep and not {"first_action", "second_action"} <= set(given):
        parser.error("give --first_action and --second_action, or --sweep")
    if arguments.steps is None:
        arguments.steps = DEFAULT_STEPS
    if arguments.steps < 2:
        parser.error(f"--steps {arguments.steps}: there are at least 2, the first and the second action")
    return arguments


def main() -> int:
    """Play and save pictures and videos; return the exit code."""
    arguments = parse_arguments()
    config, arguments.checkpoint = chosen_model(arguments)

    from playing.interpolation import InterpolationOptions, interpolate  # imported here since it takes seconds

    interpolate(config, options_from(arguments, InterpolationOptions))
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)

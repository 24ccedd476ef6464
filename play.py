"""Play a trained model: `python play.py --config configs/00_breakout_demo.yaml`."""

import argparse
from pathlib import Path

from playing.arguments import chosen_model, playing_parser
from playing.options import PlayOptions
from utils.command import EXIT_DONE, UserError, options_from, positive_float, run_command


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = playing_parser(
        "Play a trained model with the number keys (H shows all keys), or a script of actions without a screen. Needs "
        "the checkpoint of the run; starts from the data set, a picture, or frames stored with the checkpoint.",
        "python play.py --config configs/00_breakout_demo.yaml --windowed",
    )
    add = parser.add_argument
    add("--windowed", action="store_true", help="open a window instead of the full screen")
    time = parser.add_mutually_exclusive_group()
    time.add_argument(
        "--real_time",
        action="store_true",
        default=None,
        help="begin in real time: frames follow each other without a key press (default: where the checkpoint says so)",
    )
    time.add_argument(
        "--step_by_step",
        dest="real_time",
        action="store_false",
        default=None,
        help="begin step by step: a frame follows from a key press",
    )
    add(
        "--fps",
        type=positive_float,
        help="frames a second in videos and real time (default: what the checkpoint says, else 10)",
    )
    add(
        "--idle_action",
        type=int,
        metavar="A",
        help="what real time does while no key is held (default: an action called stay, noop or none, else the last "
        "action, after 0 the most frequent)",
    )
    add("--noise", action="store_true", help="begin with noise in the action variations")
    add("--headless", action="store_true", help="play --actions without a screen")
    add("--actions", metavar="KEYS", help="with --headless: actions from 1, 0 for a new start, such as 1,1,2,3x10,0")
    add("--replay", type=Path, metavar="FILE", help="play the play.json of a recording again, without a screen")
    help_text = "show what each action does, ask for its name, and store the names with the checkpoint"
    add("--name_actions", action="store_true", help=help_text)
    add("--no_recording", action="store_true", help="keep nothing")
    return parser.parse_args()


def main() -> int:
    """Play until the player or the script ends; return the exit code."""
    arguments = parse_arguments()
    config, arguments.checkpoint = chosen_model(arguments)
    if arguments.headless != (arguments.actions is not None):
        raise UserError("--headless and --actions belong together: --headless --actions 1,1,2x10")

    if arguments.name_actions:
        from playing.naming import name_actions

        name_actions(config, options_from(arguments, PlayOptions))
        return EXIT_DONE

    from playing.run import play  # imported here since it takes seconds

    play(config, options_from(arguments, PlayOptions))
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)

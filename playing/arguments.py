"""The arguments that `play.py` and `interpolate.py` share. Nothing here waits for torch."""

from pathlib import Path

from utils.command import CommandParser, configuration_parser, non_negative_int


def playing_parser(description: str, example: str) -> CommandParser:
    """The arguments of a configuration, and where playing begins and where it is kept."""
    parser = configuration_parser(description, example)
    add = parser.add_argument
    add("--initial_frame", metavar="FILE", help="begin from picture.png, or from a moment: video.mp4@12.5s")
    add("--seed", type=non_negative_int, default=0, help="another seed begins from other frames (default: 0)")
    add("--play_root", type=Path, default=Path("play_results"), metavar="DIR", help="where what is played is kept")
    return parser

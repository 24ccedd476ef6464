"""The arguments that `play.py` and `interpolate.py` share.

Importing it does not import torch.
"""

from pathlib import Path

from utils.command import CommandParser, configuration_parser, non_negative_int


def playing_parser(description: str, example: str) -> CommandParser:
    """Return a parser with the arguments of a configuration, of starting frames, and of the output folder."""
    parser = configuration_parser(description, example)
    add = parser.add_argument
    add("--initial_frame", metavar="FILE", help="begin from picture.png, video.mp4, or a moment: video.mp4@12.5s")
    add("--seed", type=non_negative_int, default=0, help="another seed begins from other frames (default: 0)")
    add("--play_root", type=Path, default=Path("play_results"), metavar="DIR", help="where what is played is kept")
    return parser

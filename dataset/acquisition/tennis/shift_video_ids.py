"""Renumber the videos of a folder from a given number on, so that they can follow those of another folder.

Their order is kept, and gaps in the numbers are closed. The same command completes an interrupted run.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from utils.command import CommandParser, UserError, non_negative_int, run_command
from utils.files import is_data

EXAMPLE = "python -m dataset.acquisition.tennis.shift_video_ids --video_directory data/more_tennis --first_id 519"


def shift_video_ids(directory: Path, first_id: int) -> int:
    """Rename the videos of a folder to `first_id`, `first_id` + 1, ... in order, and return their number.

    Raises:
        UserError: the folder is missing, or holds a folder that is not named by a number.
    """
    if not directory.is_dir():
        raise UserError(f"{directory}: no such folder; give one that holds videos")
    folders = [path for path in directory.iterdir() if path.is_dir() and is_data(path)]
    if strange := [path.name for path in folders if not (path.name.isascii() and path.name.isdigit())]:
        raise UserError(f"{directory}: the folder '{min(strange)}' is not named by a number; move it elsewhere")

    videos = sorted(folders, key=lambda path: int(path.name))
    renamed = [(video, directory / f"{new_id:05d}") for new_id, video in enumerate(videos, start=first_id)]
    upwards = [(video, target) for video, target in renamed if int(video.name) < int(target.name)]
    downwards = [(video, target) for video, target in renamed if int(video.name) >= int(target.name)]
    for video, target in (*reversed(upwards), *downwards):
        video.rename(target)
    return len(videos)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line (`sys.argv` if None)."""
    parser = CommandParser("Number the videos of a folder from another number on, in their order.", EXAMPLE)
    add = parser.add_argument
    add("--video_directory", required=True, type=Path, metavar="DIR", help="folder with the videos 00000, 00001, ...")
    add("--first_id", required=True, type=non_negative_int, metavar="N", help="the number of the first video")
    return parser.parse_args(arguments)


def main() -> None:
    """Run the command."""
    arguments = parse_arguments()
    directory, first_id = arguments.video_directory, arguments.first_id
    count = shift_video_ids(directory, first_id)
    print(f"{directory}: {count} videos, numbered from {first_id:05d} on")


if __name__ == "__main__":
    run_command(main)

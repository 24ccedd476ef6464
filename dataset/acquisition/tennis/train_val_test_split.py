"""Distribute clips to split folders according to `splits.csv` (docs/method.md#data-sets).

Writes `DIR/{train,val,test}/00000 ...`, numbered within a split in the order of the table. The files are hard links to
those of the clips where the disk supports them, and take no space. Existing videos are kept.
"""

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from dataset.acquisition.tennis.annotations import read_splits
from utils.command import CommandParser, UserError, run_command
from utils.files import only_process, unfinished_folder

EXAMPLE = """\
python -m dataset.acquisition.tennis.train_val_test_split --video_directory data/tennis_v4_256_ours_work/clips \\
      --splits data/tennis_v4_256_ours_work/annotations/splits.csv \\
      --output_directory data/tennis_v4_256_ours_work/splits"""


def split_videos(videos: Path, splits: dict[str, list[int]], directory: Path) -> None:
    """Link the missing videos into the folders of their splits.

    Args:
        videos: folder of the videos `00000`, `00001`, ...
        splits: numbers of each split's videos.
        directory: folder for the splits.

    Raises:
        UserError: a video is missing.
    """
    for split, numbers in splits.items():
        for new_number, number in enumerate(numbers):
            link_video(videos / f"{number:05d}", directory / split / f"{new_number:05d}")


def link_video(source: Path, target: Path) -> None:
    """Create a folder with the files of a video, as hard links or else as copies, unless it exists.

    Raises:
        UserError: there is no such video.
    """
    if target.exists():
        return
    if not source.is_dir():
        raise UserError(f"{source}: missing; convert all clips before they are split")
    with unfinished_folder(target) as unfinished:
        shutil.copytree(source, unfinished, copy_function=_link_or_copy, dirs_exist_ok=True)
        unfinished.rename(target)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line (`sys.argv` if None)."""
    parser = CommandParser(
        "Put clips into the folders of their splits. Running the same command again completes what was interrupted.",
        EXAMPLE,
    )
    add = parser.add_argument
    add("--video_directory", required=True, type=Path, metavar="DIR", help="folder with the clips")
    add("--splits", required=True, type=Path, metavar="FILE", help="the table splits.csv")
    add("--output_directory", required=True, type=Path, metavar="DIR", help="folder for train, val and test")
    return parser.parse_args(arguments)


def main() -> None:
    """Run the command."""
    arguments = parse_arguments()
    splits = read_splits(arguments.splits)
    with only_process(arguments.output_directory, "--output_directory"):
        split_videos(arguments.video_directory, splits, arguments.output_directory)


if __name__ == "__main__":
    run_command(main)

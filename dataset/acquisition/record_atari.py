"""Record real play of an Atari game as a data set: the command for `dataset.acquisition.atari_recording`."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from dataset.splits import SPLITS
from utils.command import CommandParser, non_negative_int, positive_int, run_command

EXAMPLE = """\
python -m dataset.acquisition.record_atari --game breakout --output_directory data/breakout_demo \\
      --train_videos 300 --val_videos 40 --test_videos 40 --video_length 60 \\
      --crop 0 16 160 208 --target_size 80 96"""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line (`sys.argv` if None)."""
    parser = CommandParser(
        "Record real play of an Atari game as a data set with train, val and test videos. Running the same command "
        "again completes a recording that was interrupted.",
        EXAMPLE,
    )
    add = parser.add_argument
    add("--game", required=True, help="breakout (played by a ball follower), or pong, seaquest, ... (random actions)")
    add("--output_directory", required=True, type=Path, metavar="DIR", help="new folder for the data set")
    for split in SPLITS:
        help_text = f"number of videos in the {split} split"
        add(f"--{split}_videos", required=True, type=non_negative_int, metavar="N", help=help_text)
    add("--video_length", required=True, type=positive_int, metavar="T", help="frames in every video")
    add(
        "--frame_skip",
        type=positive_int,
        default=4,
        metavar="F",
        help="emulator frames (60 a second) from one recorded frame to the next (default: 4)",
    )
    add(
        "--crop",
        type=int,
        nargs=4,
        metavar=("L", "T", "R", "B"),
        help="box of the screen to record, in screen pixels from its top left corner (default: the whole screen)",
    )
    add(
        "--target_size",
        type=positive_int,
        nargs=2,
        metavar=("W", "H"),
        help="size to which the box is resized, multiples of 16 "
        "(default: that of the box, rounded down to multiples of 16; 160 208 for a whole 160x210 screen)",
    )
    add("--seed", type=non_negative_int, default=0, metavar="S", help="another seed is another play (default: 0)")
    parser.add_processes("recorded")
    return parser.parse_args(arguments)


def main() -> None:
    """Run the command."""
    arguments = parse_arguments()

    from dataset.acquisition.atari_recording import (  # needs a package that may be missing
        describe,
        record,
        recording_of,
    )

    recording = recording_of(arguments)
    directory = arguments.output_directory

    start = time.perf_counter()
    num_recorded = record(recording, directory, arguments.processes)
    seconds = time.perf_counter() - start
    print(f"recorded {num_recorded} videos, {num_recorded * recording.video_length / seconds:.0f} frames/s")
    print(describe(recording, directory))


if __name__ == "__main__":
    run_command(main)

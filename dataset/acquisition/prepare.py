"""Prepare footage for training: choose frame size, frame rate and network, convert it, and write configurations."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from utils.command import CommandParser, UserError, positive_float, run_command
from utils.logging_configuration import MAX_RUN_NAME_BYTES, is_run_name

EXAMPLE = "python -m dataset.acquisition.prepare --videos ~/Videos/my_game --name my_game"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line (`sys.argv` if None)."""
    parser = CommandParser(
        "Make a playable model's data set and configurations from footage: choose the size of frames, how many a "
        "second, the length of sequences and the network by what is found and by this machine, convert the footage to "
        "data/NAME, and write configs/NAME.yaml and configs/evaluation/NAME.yaml, which say why. Running the same "
        "command again completes a preparation that was interrupted.",
        EXAMPLE,
    )
    add = parser.add_argument
    add("--videos", required=True, type=Path, metavar="PATH", help="a folder of videos, or one file; or other footage")
    add("--name", required=True, help="what to call the data set, the configurations and the run")
    add("--actions", type=_actions_count, metavar="K", help="how many actions to discover (default: 5, or as known)")
    add(
        "--crop",
        type=int,
        nargs=4,
        metavar=("L", "T", "R", "B"),
        help="box to use of the videos, in their pixels: where what shall be played is alone (default: all)",
    )
    part = parser.add_mutually_exclusive_group()
    part.add_argument(
        "--play_region",
        type=_play_region,
        metavar="L,T,R,B|N|all",
        help="what is played: a box of the videos, in their pixels; the number of a region that moves by itself, as "
        "the command lists them; or all of the frame (default: as it says)",
    )
    part.add_argument("--play", choices=["camera"], help="what is played: the movement of the camera")
    add(
        "--labels",
        type=_labels,
        metavar="FILE.csv|recorded",
        help="true actions of some frames: a table video,frame,action; or those in the footage (LeRobot, ...)",
    )
    add(
        "--minutes",
        type=positive_float,
        metavar="M",
        help="a training that fits into so many minutes on this machine (default: a usual number of steps, whose time "
        "is told)",
    )
    add("--fps", type=positive_float, metavar="F", help="frames per second to keep (default: about 10)")
    add("--data_root", type=Path, metavar="DIR", help="new folder for the data set (default: data/NAME)")
    parser.add_device("train on later")
    parser.add_processes("converted")
    return parser.parse_args(arguments)


def _actions_count(text: str) -> int:
    if not (text.isdecimal() and int(text) >= 2):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 2")
    return int(text)


def _labels(text: str) -> "Path | str":
    return text if text == "recorded" else Path(text)


def _play_region(text: str) -> "tuple[int, ...] | int | str":
    if text == "all":
        return text
    numbers = text.split(",")
    if len(numbers) not in (1, 4) or not all(number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"{text} is no box L,T,R,B in pixels, no number of a region, and not 'all'")
    return tuple(map(int, numbers)) if len(numbers) == 4 else int(text)


def main() -> int:
    """Run the command and return the exit code."""
    arguments = parse_arguments()
    if not is_run_name(arguments.name):
        raise UserError(
            f"--name {arguments.name}: not a file name; use letters, digits, '_', '-' and '.', "
            f"{MAX_RUN_NAME_BYTES} bytes at most"
        )

    from preparation.run import Request, prepare  # importing takes seconds, which --help avoids

    return prepare(
        Request(
            videos=arguments.videos,
            name=arguments.name,
            data_root=arguments.data_root or Path("data") / arguments.name,
            actions_count=arguments.actions,
            crop=tuple(arguments.crop) if arguments.crop else None,
            frame_rate=arguments.fps,
            device=arguments.device,
            processes=arguments.processes,
            play=arguments.play or arguments.play_region,
            labels=arguments.labels,
            minutes=arguments.minutes,
        )
    )


if __name__ == "__main__":
    run_command(main)

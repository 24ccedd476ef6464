"""Convert a folder of video files to a data set (docs/method.md#data-sets).

`dataset.acquisition.conversion` describes the output. Videos that an earlier run finished are kept, so the same command
completes an interrupted conversion.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dataset.acquisition.conversion import Conversion, ConversionOptions, convert_sources
from dataset.acquisition.readers import video_file
from dataset.acquisition.readers.absence import why_nothing_is_found
from dataset.splits import SPLITS
from utils.command import EXIT_DONE, EXIT_SKIPPED, CommandParser, UserError, positive_float, positive_int, run_command

EXAMPLE = """\
python -m dataset.acquisition.convert_video_directory --video_directory videos \\
      --output_directory data/my_game --target_size 256 256 --split 0.8 0.1 0.1"""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line (`sys.argv` if None)."""
    parser = CommandParser(
        "Convert the video files in a folder and in its direct sub-folders to a data set with unknown annotations. "
        "What cannot be read is named and left out (exit code 3). Running the same command again completes a "
        "conversion that was interrupted.",
        EXAMPLE,
    )
    add = parser.add_argument
    add("--video_directory", required=True, type=Path, metavar="DIR", help="folder with video files")
    add("--output_directory", required=True, type=Path, metavar="DIR", help="new folder for the data set")
    add(
        "--target_size",
        required=True,
        type=positive_int,
        nargs=2,
        metavar=("W", "H"),
        help="size of the frames in pixels; the model takes multiples of 16",
    )
    add(
        "--fps",
        type=_frame_rate,
        default=10.0,
        metavar="F",
        help="frames per second, or `all` to keep those there are (default: 10)",
    )
    add(
        "--video_extension",
        default="mp4",
        metavar="EXT",
        help=f"what the files end with, or `all` for {', '.join(sorted(video_file.EXTENSIONS))} (default: mp4)",
    )
    add(
        "--crop",
        type=int,
        nargs=4,
        metavar=("L", "T", "R", "B"),
        help="box of the videos to use, in their pixels from the top left corner (default: all)",
    )
    add(
        "--keep_aspect",
        choices=("pad", "crop", "stretch"),
        default="stretch",
        help="where the shape differs: add black borders, cut borders off, or change the shape (default: stretch)",
    )
    add("--start", type=float, metavar="S", help="seconds of each video to leave out (default: 0)")
    add("--end", type=positive_float, metavar="S", help="the second of each video to end before")
    add("--max_frames", type=positive_int, metavar="N", help="frames to take at most of each video")
    add("--detect_cuts", action="store_true", help="begin a new video where the scene changes")
    add(
        "--split",
        type=float,
        nargs=len(SPLITS),
        metavar=("TRAIN", "VAL", "TEST"),
        help="fractions of the video files, in sorted order, for each split (default: one flat folder)",
    )
    parser.add_processes("converted")
    return parser.parse_args(arguments)


def options_of(arguments: argparse.Namespace) -> ConversionOptions:
    """Return the validated options of a conversion.

    Raises:
        UserError: they are invalid.
    """
    return ConversionOptions(
        target_size=tuple(arguments.target_size),
        frame_rate=arguments.fps,
        crop=tuple(arguments.crop) if arguments.crop else None,
        keep_aspect=arguments.keep_aspect,
        start=arguments.start,
        end=arguments.end,
        max_frames=arguments.max_frames,
        detect_cuts=arguments.detect_cuts,
        splits=tuple(arguments.split) if arguments.split else None,
    )


def find_video_files(directory: Path, extension: str) -> list[video_file.VideoFile]:
    """Return the files with an extension, or with any known one if it is `all`. `UserError` if there are none."""
    if not directory.is_dir():
        why = "it is a file; name its folder" if directory.exists() else why_nothing_is_found(directory)
        raise UserError(f"--video_directory {directory}: {why}")
    videos = video_file.find(directory, None if extension == "all" else extension)
    if not videos:
        others = {video.path.suffix for video in video_file.find(directory)}
        kind = "video file" if extension == "all" else f"*.{extension.removeprefix('.')}"
        hint = (
            f"found *{', *'.join(sorted(others))}: give --video_extension"
            if others
            else why_nothing_is_found(directory)
        )
        raise UserError(f"{directory}: no {kind} in it or its direct sub-folders; {hint}")
    return videos


def describe(conversion: Conversion, options: ConversionOptions, directory: Path) -> str:
    """Describe the contents of the data set and the problems, one line each."""
    width, height = options.target_size
    lines = [f"{conversion.num_videos} videos, {conversion.num_frames} frames of {width}x{height} in {directory}"]
    lines += [f"kept the intact frames of {name}: {problem}" for name, problem in conversion.warnings.items()]
    lines += [f"skipped {name}: {reason}" for name, reason in conversion.skipped.items()]
    return "\n".join(lines)


def main() -> int:
    """Run the command and return the exit code."""
    arguments = parse_arguments()
    options = options_of(arguments)
    videos = find_video_files(arguments.video_directory, arguments.video_extension)
    conversion = convert_sources(videos, options, arguments.output_directory, arguments.processes)
    print(describe(conversion, options, arguments.output_directory))
    return EXIT_SKIPPED if conversion.skipped or conversion.warnings else EXIT_DONE


def _frame_rate(text: str) -> float | None:
    return None if text == "all" else positive_float(text)


if __name__ == "__main__":
    run_command(main)

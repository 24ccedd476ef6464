"""Inspect a data set: counts, sizes, durations, actions, damage, and a contact sheet of its frames.

Every frame is decoded. Frames identical to the previous one are counted, but not as damage, since games may stand
still. Works on videos in our layout and in the authors' (docs/method.md#data-layout), in split folders or a flat one.
"""

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from dataset.splits import find_all_videos
from dataset.video import Video, VideoError
from utils.command import EXIT_DONE, EXIT_SKIPPED, CommandParser, one_line, positive_float, run_command, tell
from utils.images import VISIBLE_SIDE, save_image, tile

SHEET_ROWS, SHEET_COLUMNS = 12, 8
MAX_PROBLEMS = 3
"""Maximum number of problems listed per video."""

EXAMPLE = "python -m dataset.inspect data/breakout_demo --output contact_sheet.png"


@dataclass(frozen=True)
class VideoReport:
    """Result of inspecting one video; if it cannot be opened, only the path and the problem are given."""

    path: Path
    num_frames: int = 0
    size: tuple[int, int] | None = None
    """Width and height in pixels; None if no frame can be read."""
    num_repeated_frames: int = 0
    """Number of frames with the same pixels as the one before."""
    actions: Counter[int] | None = None
    """Number of frames with each true action; None if unknown."""
    problems: tuple[str, ...] = ()
    """Damage found, one line each."""


def inspect_video(path: Path) -> VideoReport:
    """Decode all frames of the video in a folder and read its annotations."""
    try:
        video = Video(path)
        annotations = video.annotations
    except VideoError as error:
        return VideoReport(path, problems=(one_line(error),))
    size, previous, num_repeated, problems = None, None, 0, []
    for index in range(video.num_frames):
        try:
            frame = video.frame(index)
        except VideoError as error:
            problems.append(one_line(error))
            previous = None
            continue
        pixels = frame.tobytes()
        num_repeated += pixels == previous
        size, previous = frame.size, pixels
    actions = Counter(annotations.actions) if annotations.actions_are_known else None
    return VideoReport(path, video.num_frames, size, num_repeated, actions, tuple(problems))


def inspect_videos(paths: Sequence[Path]) -> list[VideoReport]:
    """Inspect videos in parallel threads, with a progress bar."""
    executor = ThreadPoolExecutor(os.cpu_count())
    try:
        return list(tqdm(executor.map(inspect_video, paths), total=len(paths), unit="video", disable=None))
    finally:
        executor.shutdown(cancel_futures=True)


def describe(reports: dict[str, list[VideoReport]], frame_rate: float) -> str:
    """Summarise the reports of each split in a few lines; durations assume `frame_rate` frames per second."""
    everything = [report for split in reports.values() for report in split]
    damaged = [report for report in everything if report.problems]
    num_repeated = sum(report.num_repeated_frames for report in everything)
    lines = [_describe_split(split, found, frame_rate) for split, found in reports.items()]
    lines += [
        f"sizes     {_describe_sizes(everything)}",
        f"actions   {_describe_actions(everything)}",
        f"repeated  {num_repeated} frames show what the one before shows",
        f"damaged   {len(damaged)} of {len(everything)} videos",
    ]
    for report in damaged:
        lines += [f"          {problem}" for problem in report.problems[:MAX_PROBLEMS]]
        if len(report.problems) > MAX_PROBLEMS:
            lines.append(f"          {report.path}: {len(report.problems) - MAX_PROBLEMS} more frames")
    return "\n".join(lines)


def _describe_split(split: str, reports: list[VideoReport], frame_rate: float) -> str:
    lengths = sorted(report.num_frames for report in reports if report.num_frames)
    line = f"{split:<9} {len(reports)} videos, {sum(lengths)} frames"
    if lengths:
        line += (
            f", {sum(lengths) / frame_rate:.1f} s at {frame_rate:g} frames/s; "
            f"{lengths[0]} to {lengths[-1]} frames a video, median {median(lengths):g}"
        )
    return line


def _describe_sizes(reports: list[VideoReport]) -> str:
    sizes = Counter(report.size for report in reports if report.size)
    return (
        ", ".join(f"{width}x{height} ({count} videos)" for (width, height), count in sizes.most_common()) or "unknown"
    )


def _describe_actions(reports: list[VideoReport]) -> str:
    known = [report.actions for report in reports if report.actions is not None]
    actions = sum(known, Counter[int]())
    shares = ", ".join(f"{action} {count / actions.total():.1%}" for action, count in sorted(actions.items()))
    num_unknown = len(reports) - len(known)
    return "; ".join(filter(None, [shares, f"unknown in {num_unknown} videos" if num_unknown else ""]))


def contact_sheet(reports: Sequence[VideoReport]) -> np.ndarray | None:
    """Draw a contact sheet of evenly spaced undamaged videos, one row of frames per video in temporal order.

    Returns:
        uint8 pixels (height, width, 3), at most `SHEET_ROWS` by `SHEET_COLUMNS` frames of one size, or None if all
        videos are damaged.
    """
    intact = [report for report in reports if not report.problems]
    if not intact:
        return None
    shown = [intact[index] for index in _spread(len(intact), min(SHEET_ROWS, len(intact)))]
    size = _thumbnail_size(shown[0])
    rows = []
    for report in shown:
        video = Video(report.path)
        frames = [video.frame(index) for index in _spread(video.num_frames, SHEET_COLUMNS)]
        rows.append([np.asarray(ImageOps.pad(frame, size, Image.Resampling.BOX, "white")) for frame in frames])
    return tile(np.array(rows), gap=2)


def _thumbnail_size(report: VideoReport) -> tuple[int, int]:
    """Return the width and height at which the longer side has `VISIBLE_SIDE` pixels."""
    assert report.size is not None
    width, height = (max(1, round(side * VISIBLE_SIDE / max(report.size))) for side in report.size)
    return width, height


def _spread(length: int, count: int) -> list[int]:
    """Return `count` evenly spaced indices of a sequence, from the first to the last."""
    return np.linspace(0, length - 1, count).round().astype(int).tolist()


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line (`sys.argv` if None)."""
    parser = CommandParser(
        "Decode every frame of a data set and tell counts, sizes, durations, actions and damage. The exit code is 0 if "
        f"all is fine and {EXIT_SKIPPED} if videos are damaged.",
        EXAMPLE,
    )
    add = parser.add_argument
    add("directory", type=Path, metavar="DIR", help="a folder with train, val and test, or one with videos")
    add("--output", type=Path, metavar="FILE.png", help="also write a contact sheet of the undamaged videos")
    help_text = "frames a second, for durations; the data do not tell (default: %(default)g)"
    add("--fps", type=positive_float, default=10.0, metavar="F", help=help_text)
    return parser.parse_args(arguments)


def main() -> int:
    """Run the command and return the exit code."""
    arguments = parse_arguments()
    videos = find_all_videos(arguments.directory)
    inspected = iter(inspect_videos([path for paths in videos.values() for path in paths]))
    reports = {split: list(islice(inspected, len(paths))) for split, paths in videos.items()}
    print(describe(reports, arguments.fps))
    everything = [report for split in reports.values() for report in split]
    if arguments.output:
        sheet = contact_sheet(everything)
        if sheet is None:
            tell(f"warning: {arguments.output}: not written, since no video is undamaged")
        else:
            save_image(arguments.output, sheet)
    return EXIT_SKIPPED if any(report.problems for report in everything) else EXIT_DONE


if __name__ == "__main__":
    run_command(main)

"""Cut long videos into segments `<name>_00000.mp4 ...`, and optionally resize them (docs/method.md#data-sets).

Videos are cut without re-encoding, at the first keyframe after each segment's length, so that the frames stay those
annotated. The first segment of a video is written last: a video whose first segment exists is finished and is not cut
again.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import ffmpeg
from tqdm import tqdm

from utils.command import CommandParser, UserError, positive_float, positive_int, run_command
from utils.ffmpeg import FfmpegError, file_url, run_ffmpeg
from utils.files import only_process, unfinished_folder

SEGMENT_SECONDS = 3600.0

EXAMPLE = """\
python -m dataset.acquisition.tennis.split_and_resize_video --video_directory data/tennis_v4_256_ours_work/matches \\
      --output_directory data/tennis_v4_256_ours_work/segments"""


def split_video(
    video: Path,
    directory: Path,
    segment_seconds: float = SEGMENT_SECONDS,
    target_size: tuple[int, int] | None = None,
) -> None:
    """Cut a video into segments, unless that was done.

    Args:
        video: the video file; its sound is dropped.
        directory: folder for the segments.
        segment_seconds: minimum duration of a segment, which ends at the next keyframe.
        target_size: even width and height to resize the frames to, bicubic; this re-encodes the segments and keeps the
            number of frames. None leaves them unchanged.

    Raises:
        UserError: ffmpeg cannot read the video, or writes nothing.
    """
    if (directory / f"{video.stem}_00000.mp4").exists():
        return
    with unfinished_folder(directory / video.stem) as unfinished:
        _cut(video, unfinished, segment_seconds)
        for segment in sorted(unfinished.iterdir(), reverse=True):
            if target_size is not None:
                _resize(segment, target_size)
            segment.replace(directory / segment.name)


def _cut(video: Path, directory: Path, segment_seconds: float) -> None:
    pattern = file_url(directory / video.stem).replace(b"%", b"%%") + b"_%05d.mp4"
    frames = ffmpeg.input(file_url(video))["v:0"]
    _run(
        frames.output(pattern, format="segment", segment_time=segment_seconds, reset_timestamps=1, c="copy"),
        directory / f"{video.stem}_00000.mp4",
        f"{video}: cannot be cut",
    )


def _resize(segment: Path, size: tuple[int, int]) -> None:
    resized = segment.with_name(f".{segment.name}")
    frames = ffmpeg.input(file_url(segment))["v:0"].filter("scale", *size, flags="bicubic")
    _run(
        frames.output(file_url(resized), format="mp4", vcodec="libx264", pix_fmt="yuv420p", preset="veryfast", crf=16),
        resized,
        f"{segment}: cannot be resized",
    )
    resized.replace(segment)


def _run(stream: ffmpeg.nodes.OutputStream, result: Path, failure: str) -> None:
    """Run ffmpeg to write `result`.

    Raises:
        UserError: it is not written; the message begins with `failure`.
    """
    try:
        run_ffmpeg(stream, result)
    except FfmpegError as error:
        raise UserError(f"{failure}: {error}; remove the match and download it again") from error


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line (`sys.argv` if None)."""
    parser = CommandParser(
        "Cut every *.mp4 of a folder into segments, without encoding them anew. Running the same command again "
        "completes what was interrupted.",
        EXAMPLE,
    )
    add = parser.add_argument
    add("--video_directory", required=True, type=Path, metavar="DIR", help="folder with the matches")
    add("--output_directory", required=True, type=Path, metavar="DIR", help="folder for the segments")
    add(
        "--segment_seconds",
        type=positive_float,
        default=SEGMENT_SECONDS,
        metavar="S",
        help="length of a segment (default: 3600)",
    )
    add(
        "--target_size",
        type=positive_int,
        nargs=2,
        metavar=("W", "H"),
        help="resize the segments, which takes hours: only for matches that could not be had in the size that was "
        "annotated (default: leave them as they are)",
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Run the command."""
    arguments = parse_arguments()
    size = arguments.target_size
    if size and any(side % 2 for side in size):
        raise UserError(f"--target_size {size[0]} {size[1]}: encoded videos have even sides; choose even ones")
    videos = sorted(arguments.video_directory.glob("*.mp4"))
    if not videos:
        raise UserError(f"{arguments.video_directory}: holds no *.mp4; download the matches first")
    with only_process(arguments.output_directory, "--output_directory"):
        for video in tqdm(videos, unit="match"):
            split_video(video, arguments.output_directory, arguments.segment_seconds, size and tuple(size))


if __name__ == "__main__":
    run_command(main)

"""Extract annotated clips from the segments of matches, cropped and resized (docs/method.md#data-sets).

Writes `DIR/00000 DIR/00001 ...`, one video in our layout with unknown annotations per row of `annotations.csv`,
numbered as in `read_clips`. The frames are exactly the annotated ones, since ffmpeg decodes a segment from its start
and counts frames, once for all clips of a segment. Clips that an earlier run finished are kept.
"""

import argparse
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path

import ffmpeg
from PIL import Image
from tqdm import tqdm

from dataset.acquisition.tennis.annotations import Clip, read_clips
from dataset.video import Video, write_video
from utils.command import CommandParser, UserError, positive_int, run_command
from utils.ffmpeg import SILENCE_SECONDS, Ffmpeg, FfmpegError, file_url
from utils.files import only_process

TARGET_SIZE = (256, 96)

FRAME_RATE = 25
"""Frames per second of the matches."""

OTHER_MATCH = (
    "the match is not the one annotated, or has another size or frame rate: download it with another --format, or cut "
    "it with the --target_size that was annotated"
)

EXAMPLE = """\
python -m dataset.acquisition.tennis.convert_annotated_video_directory \\
      --video_directory data/tennis_v4_256_ours_work/segments \\
      --annotations data/tennis_v4_256_ours_work/annotations/annotations.csv \\
      --output_directory data/tennis_v4_256_ours_work/clips"""


def convert_clips(clips: Sequence[Clip], segments: Path, directory: Path, size: tuple[int, int] = TARGET_SIZE) -> None:
    """Write the clips missing in a folder, with a progress bar.

    Args:
        clips: all clips, in the order of `read_clips`.
        segments: folder of the segments.
        directory: folder for the clips.
        size: width and height of the written frames, resized bicubically.

    Raises:
        UserError: a segment is missing or cannot be decoded, a clip is not within it, or the folder holds a clip of
            another size or length.
    """
    missing = [clip for clip in clips if not _is_finished(clip, directory, size)]
    with tqdm(total=len(clips), initial=len(clips) - len(missing), unit="clip") as progress:
        for name, clips_of_segment in groupby(missing, attrgetter("segment")):
            for successive in _without_overlap(clips_of_segment):
                with closing(clip_frames(segments / name, successive)) as frames:
                    for clip in successive:
                        _write_clip(_path(clip, directory), islice(frames, clip.num_frames), size)
                        progress.update()


def clip_frames(segment: Path, clips: Sequence[Clip]) -> Generator[Image.Image, None, None]:
    """Yield the cropped RGB frames of one clip after the other.

    Args:
        segment: the video file.
        clips: its clips, sorted by first frame and without overlap.

    Raises:
        UserError: the file is missing, ends before the last clip, cannot be decoded, or its frames are too small.
    """
    if not segment.is_file():
        raise UserError(f"{segment}: missing; cut the matches into segments first, under the names annotated")
    # ffmpeg prints nothing while it skips the frames before a clip, which it decodes at least in real time.
    silence_seconds = SILENCE_SECONDS + clips[-1].end_frame / FRAME_RATE
    with Ffmpeg(_decoding(segment, clips), silence_seconds=silence_seconds) as process:
        frames = process.frames()
        for clip in clips:
            for number in range(clip.begin_frame, clip.end_frame + 1):
                try:
                    frame = next(frames, None)
                    if frame is None:
                        process.finish()
                        raise FfmpegError(process.last_words if process.messages else "it ends before")
                except FfmpegError as error:
                    raise UserError(f"{segment}: has no frame {number} ({error}); {OTHER_MATCH}") from error
                yield _crop(Image.fromarray(frame), clip, segment)


def _write_clip(path: Path, frames: Iterable[Image.Image], size: tuple[int, int]) -> None:
    write_video(path, (frame.resize(size, Image.Resampling.BICUBIC) for frame in frames))


def _decoding(segment: Path, clips: Sequence[Clip]) -> ffmpeg.nodes.OutputStream:
    """Ffmpeg that writes the frames of the clips to its output."""
    frames = ffmpeg.input(file_url(segment))["v:0"].filter("select", _selection(clips))
    # Times without gaps at a constant rate, whichever: else ffmpeg would fill the gaps with copies.
    frames = frames.filter("settb", f"1/{FRAME_RATE}").filter("setpts", "N")
    num_frames = sum(clip.num_frames for clip in clips)
    output = frames.output("pipe:", format="image2pipe", vcodec="ppm", r=FRAME_RATE, vframes=num_frames)
    return output.global_args("-nostdin", "-loglevel", "error")


def _selection(clips: Sequence[Clip]) -> str:
    """Build the ffmpeg expression for whether frame n is in a clip, as a search tree: ffmpeg rejects long sums."""
    if len(clips) == 1:
        return f"between(n,{clips[0].begin_frame},{clips[0].end_frame})"
    middle = len(clips) // 2
    return f"if(lt(n,{clips[middle].begin_frame}),{_selection(clips[:middle])},{_selection(clips[middle:])})"


def _crop(frame: Image.Image, clip: Clip, segment: Path) -> Image.Image:
    _, _, right, bottom = clip.box
    if right > frame.width or bottom > frame.height:
        raise UserError(
            f"{segment}: has frames of {frame.width}x{frame.height} pixels, but clip {clip.number} reaches to "
            f"{right}x{bottom}; {OTHER_MATCH}"
        )
    return frame.crop(clip.box)


def _without_overlap(clips: Iterable[Clip]) -> list[list[Clip]]:
    """Divide the clips of a segment into lists without overlapping clips; a single list if none overlap."""
    lists: list[list[Clip]] = []
    for clip in clips:
        fitting = next((earlier for earlier in lists if earlier[-1].end_frame < clip.begin_frame), None)
        if fitting is None:
            lists.append([clip])
        else:
            fitting.append(clip)
    return lists


def _path(clip: Clip, directory: Path) -> Path:
    return directory / f"{clip.number:05d}"


def _is_finished(clip: Clip, directory: Path, size: tuple[int, int]) -> bool:
    path = _path(clip, directory)
    if not path.exists():
        return False
    video = Video(path)
    if (len(video), video.frame(0).size) != (clip.num_frames, size):
        raise UserError(
            f"{path}: holds another clip than {clip.num_frames} frames of {size[0]}x{size[1]}; choose a new "
            "--output_directory"
        )
    return True


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line (`sys.argv` if None)."""
    parser = CommandParser(
        "Take annotated clips out of the segments of matches. Running the same command again completes what was "
        "interrupted.",
        EXAMPLE,
    )
    add = parser.add_argument
    add("--video_directory", required=True, type=Path, metavar="DIR", help="folder with the segments")
    add("--annotations", required=True, type=Path, metavar="FILE", help="the table annotations.csv")
    add("--output_directory", required=True, type=Path, metavar="DIR", help="folder for the clips")
    add(
        "--target_size",
        type=positive_int,
        nargs=2,
        default=TARGET_SIZE,
        metavar=("W", "H"),
        help="size of the frames, multiples of 16 for a model to take them (default: 256 96)",
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Run the command."""
    arguments = parse_arguments()
    clips = read_clips(arguments.annotations)
    with only_process(arguments.output_directory, "--output_directory"):
        convert_clips(clips, arguments.video_directory, arguments.output_directory, tuple(arguments.target_size))


if __name__ == "__main__":
    run_command(main)

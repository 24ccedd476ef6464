"""What is chosen from footage before it is converted: the size of frames, how many a second, and what is cut."""

import itertools
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from dataset.acquisition.conversion import require_box
from dataset.acquisition.readers.all_readers import find_sources
from dataset.acquisition.readers.source import Probe, Source, SourceError, SourceFrame
from dataset.acquisition.readers.video_file import VideoFile
from preparation.choices import Choice
from utils.command import UserError, one_line

SIDE_MULTIPLE = 16
"""The model takes frames whose sides are multiples of this."""

MIN_SIDE = 2 * SIDE_MULTIPLE

MAX_DISTORTION = 0.1
"""Frames may become this much wider or narrower before a margin is cut off instead."""

STORED_FRAME_RATE = 10
"""Frames are stored at about as many a second as in the paper's data sets."""

FEWEST_VIDEOS = 5
"""With fewer, each split gets a part of every video instead of whole videos."""

HELD_OUT = Fraction(1, 10)
"""The share of validation, and that of test."""


@dataclass(frozen=True)
class Footage:
    """Videos that can be read, and what looking at them without decoding tells."""

    sources: Sequence[Source]
    probes: Sequence[Probe]
    skipped: dict[str, str]
    """Why other videos cannot be read, by name."""

    @property
    def size(self) -> tuple[int, int]:
        """The most frequent (width, height), in pixels."""
        return Counter((probe.width, probe.height) for probe in self.probes).most_common(1)[0][0]

    def cropped(self, box: tuple[int, int, int, int]) -> "Footage":
        """Return the footage as it looks when a box (left, top, right, bottom) is all that is used of each frame.

        `UserError` if the box is none, or lies outside of every video.
        """
        require_box(box)
        left, top, right, bottom = box
        if not any(probe.width >= right and probe.height >= bottom for probe in self.probes):
            raise UserError(
                f"--crop {' '.join(map(str, box))}: no video holds it; most are {'x'.join(map(str, self.size))} pixels"
            )
        return replace(self, probes=[replace(probe, width=right - left, height=bottom - top) for probe in self.probes])

    def stored_lengths(self, frame_rate: Fraction | None) -> list[int]:
        """Return how many frames each video has at a frame rate, of those that tell without being decoded."""
        return [
            round(probe.num_frames * (frame_rate / probe.frame_rate if frame_rate and probe.frame_rate else 1))
            for probe in self.probes
            if probe.num_frames is not None
        ]


def look_at(path: Path) -> Footage:
    """Probe the videos at a path. `UserError` if there are none, or none that can be read."""
    sources = find_sources(path)
    if not sources:
        raise UserError(f"{path}: no videos there; let --videos name a video file or a folder of some")
    readable, probes, skipped = [], [], {}
    for source in sources:
        try:
            probes.append(source.probe())
            readable.append(source)
        except SourceError as error:
            skipped[source.name] = one_line(error).removeprefix(f"{source.name}: ")
    if not readable:
        name, reason = next(iter(skipped.items()))
        raise UserError(f"{path}: none of the {len(sources)} videos can be read; {name}: {reason}")
    return Footage(readable, probes, skipped)


def intact_frames(source: Source) -> Iterator[SourceFrame]:
    """Yield the frames of a video up to where it cannot be read on."""
    with suppress(SourceError):
        yield from source.frames()


def choose_size(footage: Footage, max_area: int) -> Choice:
    """Choose (width, height) of up to `max_area` pixels: multiples of 16, shaped like the frames, and not larger."""
    width, height = footage.size
    widths, heights = (range(MIN_SIDE, max(MIN_SIDE, side) + 1, SIDE_MULTIPLE) for side in (width, height))
    sizes = [size for size in itertools.product(widths, heights) if size[0] * size[1] <= max_area]
    best = max(sizes, key=lambda size: _kept_share(size, (width, height)) ** 2 * size[0] * size[1])
    return Choice(
        list(best), f"[width, height], shaped like the footage's {width}x{height}, multiples of {SIDE_MULTIPLE}"
    )


def needs_cropping(footage: Footage, size: tuple[int, int]) -> bool:
    """Whether stretching every video to a size (width, height) would distort one too much."""
    return any(_kept_share(size, (probe.width, probe.height)) < 1 - MAX_DISTORTION for probe in footage.probes)


def _kept_share(size: tuple[int, int], frame_size: tuple[int, int]) -> float:
    """The share of a frame that remains if a margin is cut off to give it the shape of `size`; both (width, height)."""
    ratio = size[0] * frame_size[1] / (size[1] * frame_size[0])
    return min(ratio, 1 / ratio)


def choose_frame_rate(footage: Footage) -> Fraction | None:
    """Choose frames per second: near to 10, and every n-th frame of the median video. None where nothing has a rate."""
    rates = [probe.frame_rate for probe in footage.probes if probe.frame_rate is not None]
    if not rates:
        return None
    typical = statistics.median_low(rates)
    return typical / max(1, round(typical / STORED_FRAME_RATE))


@dataclass(frozen=True)
class Piece:
    """A video's frames from `first` on and before `end`: a source of its own."""

    source: Source
    first: int
    end: int

    @property
    def name(self) -> str:
        """The name of the video, and which frames of it."""
        return f"{self.source.name} [{self.first}:{self.end}]"

    def probe(self) -> Probe:
        """As the video's, with the length of the piece."""
        return replace(self.source.probe(), num_frames=self.end - self.first)

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames of the piece. Those before are decoded, too."""
        return itertools.islice(self.source.frames(), self.first, self.end)


@dataclass(frozen=True)
class SharedFootage:
    """Videos, or pieces of them, in the order of the splits that they go to."""

    sources: list[Source]
    fractions: tuple[float, float, float]
    """The shares of train, val and test."""


def share_out(footage: Footage) -> SharedFootage:
    """Share footage out to the splits, so that no frame is in two: whole videos, or where they are few, parts of each.

    The first part of a video is for training, then come validation and test.
    """
    num_videos = len(footage.sources)
    if num_videos < FEWEST_VIDEOS:
        parts = [_cut(source, probe) for source, probe in zip(footage.sources, footage.probes, strict=True)]
        return SharedFootage([part for split in zip(*parts, strict=True) for part in split], (1 / 3, 1 / 3, 1 / 3))
    held_out = max(1, round(HELD_OUT * num_videos)) / num_videos
    return SharedFootage(list(footage.sources), (1 - 2 * held_out, held_out, held_out))


def _cut(source: Source, probe: Probe) -> list[Source]:
    """The parts of a video for train, val and test."""
    num_frames = probe.num_frames or sum(1 for _ in intact_frames(source))
    bounds = [0, *(round(num_frames * (1 - share * HELD_OUT)) for share in (2, 1, 0))]
    pieces = [Piece(source, first, end) for first, end in itertools.pairwise(bounds)]
    if isinstance(source, VideoFile) and probe.frame_rate:
        return [_part_of_file(source, piece, probe.frame_rate) for piece in pieces]
    return list(pieces)


def _part_of_file(file: VideoFile, piece: Piece, frame_rate: Fraction) -> VideoFile:
    """A piece of a file that ffmpeg reads without what is before. Its bounds are in the middle between two frames."""

    def seconds(frame: int) -> float:
        return (file.start or 0) + max(0.0, float((frame - Fraction(1, 2)) / frame_rate))

    return replace(file, name=piece.name, start=seconds(piece.first), end=seconds(piece.end))

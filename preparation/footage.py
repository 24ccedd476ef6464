"""Choices made from footage before its conversion: the frame size, the frame rate, and the splits."""

import itertools
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from dataset.acquisition.conversion import require_box
from dataset.acquisition.readers.absence import why_nothing_is_found
from dataset.acquisition.readers.all_readers import find_sources
from dataset.acquisition.readers.source import Probe, Source, SourceError, SourceFrame
from dataset.acquisition.readers.video_file import VideoFile
from preparation.choices import Choice
from utils.command import UserError, one_line

SIDE_MULTIPLE = 16
"""Sides of the model's frames are multiples of this."""

MIN_SIDE = 2 * SIDE_MULTIPLE

MAX_DISTORTION = 0.1
"""Maximum relative change of the aspect ratio by stretching; beyond it, margins are cut off instead."""

STORED_FRAME_RATE = 10
"""Frames a second to store, approximately; as in the paper's data sets."""

FEWEST_VIDEOS = 5
"""With fewer videos, each split gets a part of every video instead of whole videos."""

HELD_OUT = Fraction(1, 10)
"""The share of the validation split, and of the test split."""


@dataclass(frozen=True)
class Footage:
    """Readable videos, and their properties that are known without decoding."""

    sources: Sequence[Source]
    probes: Sequence[Probe]
    """The properties of each source."""
    skipped: dict[str, str]
    """Reasons why other videos cannot be read, by name."""

    @property
    def size(self) -> tuple[int, int]:
        """The most frequent (width, height), in pixels."""
        return Counter((probe.width, probe.height) for probe in self.probes).most_common(1)[0][0]

    def cropped(self, box: tuple[int, int, int, int]) -> "Footage":
        """Return the footage with frames cropped to a box (left, top, right, bottom).

        Raises:
            UserError: the box is invalid, or exceeds the frames of every video.
        """
        require_box(box)
        left, top, right, bottom = box
        if not any(probe.width >= right and probe.height >= bottom for probe in self.probes):
            raise UserError(
                f"--crop {' '.join(map(str, box))}: no video holds it; most are {'x'.join(map(str, self.size))} pixels"
            )
        return replace(self, probes=[replace(probe, width=right - left, height=bottom - top) for probe in self.probes])

    def stored_lengths(self, frame_rate: Fraction | None) -> list[int]:
        """Return the number of frames of each video at a frame rate, for videos whose length is known."""
        return [
            round(probe.num_frames * (frame_rate / probe.frame_rate if frame_rate and probe.frame_rate else 1))
            for probe in self.probes
            if probe.num_frames is not None
        ]


def look_at(path: Path) -> Footage:
    """Probe the videos at a path.

    Raises:
        UserError: there are no videos, or none can be read.
    """
    sources = find_sources(path)
    if not sources:
        raise UserError(f"{path}: no videos there: {why_nothing_is_found(path)}")
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
    """Yield the frames of a video up to the first one that cannot be read."""
    with suppress(SourceError):
        yield from source.frames()


def choose_size(footage: Footage, max_area: int) -> Choice:
    """Choose [width, height] of up to `max_area` pixels: multiples of 16, shaped like the frames, and not larger."""
    width, height = footage.size
    widths, heights = (range(MIN_SIDE, max(MIN_SIDE, side) + 1, SIDE_MULTIPLE) for side in (width, height))
    sizes = [size for size in itertools.product(widths, heights) if size[0] * size[1] <= max_area]
    best = max(sizes, key=lambda size: _kept_share(size, (width, height)) ** 2 * size[0] * size[1])
    return Choice(
        list(best), f"[width, height], shaped like the footage's {width}x{height}, multiples of {SIDE_MULTIPLE}"
    )


def needs_cropping(footage: Footage, size: tuple[int, int]) -> bool:
    """Return whether stretching the videos to a size (width, height) would distort one too much."""
    return any(_kept_share(size, (probe.width, probe.height)) < 1 - MAX_DISTORTION for probe in footage.probes)


def _kept_share(size: tuple[int, int], frame_size: tuple[int, int]) -> float:
    """Return the share of a frame that remains when it is cropped to the shape of `size`; both are (width, height)."""
    ratio = size[0] * frame_size[1] / (size[1] * frame_size[0])
    return min(ratio, 1 / ratio)


def choose_frame_rate(footage: Footage) -> Fraction | None:
    """Choose a frame rate near 10 that takes every n-th frame of the median video; None if no video has a rate."""
    rates = [probe.frame_rate for probe in footage.probes if probe.frame_rate is not None]
    if not rates:
        return None
    typical = statistics.median_low(rates)
    return typical / max(1, round(typical / STORED_FRAME_RATE))


@dataclass(frozen=True)
class Piece:
    """A part of a video as a source: its frames from `first` up to but not including `end`."""

    source: Source
    first: int
    end: int

    @property
    def name(self) -> str:
        """The name of the video and the range of frames."""
        return f"{self.source.name} [{self.first}:{self.end}]"

    def probe(self) -> Probe:
        """Return the properties of the video with the length of the piece."""
        return replace(self.source.probe(), num_frames=self.end - self.first)

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames of the piece; those before it are decoded too."""
        return itertools.islice(self.source.frames(), self.first, self.end)


@dataclass(frozen=True)
class SharedFootage:
    """Videos or pieces of them, in the order of their splits."""

    sources: list[Source]
    fractions: tuple[float, float, float]
    """Shares of train, val and test."""


def share_out(footage: Footage) -> SharedFootage:
    """Distribute footage to disjoint splits: whole videos or, if there are few, parts of each.

    The first part of a video is for training, followed by validation and test.
    """
    num_videos = len(footage.sources)
    if num_videos < FEWEST_VIDEOS:
        parts = [_cut(source, probe) for source, probe in zip(footage.sources, footage.probes, strict=True)]
        return SharedFootage([part for split in zip(*parts, strict=True) for part in split], (1 / 3, 1 / 3, 1 / 3))
    held_out = max(1, round(HELD_OUT * num_videos)) / num_videos
    return SharedFootage(list(footage.sources), (1 - 2 * held_out, held_out, held_out))


def _cut(source: Source, probe: Probe) -> list[Source]:
    """Return the parts of a video for train, val and test."""
    if isinstance(source, VideoFile):
        source, probe = source.measured()
    num_frames = probe.num_frames or sum(1 for _ in intact_frames(source))
    bounds = [0, *(round(num_frames * (1 - share * HELD_OUT)) for share in (2, 1, 0))]
    pieces = [Piece(source, first, end) for first, end in itertools.pairwise(bounds)]
    if isinstance(source, VideoFile) and probe.frame_rate:
        parts = [_part_of_file(source, piece, probe.frame_rate) for piece in pieces]
        return [*parts[:-1], replace(parts[-1], end=source.end)]
    return list(pieces)


def _part_of_file(file: VideoFile, piece: Piece, frame_rate: Fraction) -> VideoFile:
    """Return a piece of a file, cut midway between frames, that ffmpeg reads without decoding what is before it."""

    def seconds(frame: int) -> float:
        return (file.start or 0) + max(0.0, float((frame - Fraction(1, 2)) / frame_rate))

    return replace(file, name=piece.name, start=seconds(piece.first), end=seconds(piece.end))

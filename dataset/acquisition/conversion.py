"""Convert footage to a data set: frames of one size and rate, one folder per video (docs/method.md#data-layout).

    DIR/00000/00000.png ...           without splits; DIR/{train,val,test}/00000/00000.png ... with them
    DIR/00000_000/00000.png ...       with cut detection: one folder per scene of the source with the number 00000
    DIR/00000_001/00000.png ...       without, of a damaged source: what follows a damaged part
    DIR/conversion.json               the options
    DIR/sources.jsonl                 a line for each converted source: its name, its videos, what was wrong

A *source* is one piece of footage. The number of a video is the index of its source among all sources (of its split),
so it depends neither on the number of processes nor on interruptions. The number of an unreadable source stays free
until the conversion is repeated after the source was repaired. Splits are formed by source, in the given order.

Frames are uint8 RGB (H, W, 3), times are seconds.
"""

import functools
import itertools
import json
import math
import operator
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from dataset.acquisition.claim import claim_folder
from dataset.acquisition.parallel import run_in_parallel, stop_if_given_up
from dataset.acquisition.readers.source import Source, SourceError, SourceFrame
from dataset.acquisition.readers.video_file import VideoFile
from dataset.acquisition.scene_cuts import number_parts, number_scenes
from dataset.splits import SPLITS
from dataset.video import VideoWriter
from utils.command import UserError, one_line
from utils.files import only_process, replacing

CONVERSION_FILE = "conversion.json"
SOURCES_FILE = "sources.jsonl"


@dataclass(frozen=True)
class ConversionOptions:
    """Options that determine every byte of a data set.

    Raises:
        UserError: they are invalid.
    """

    target_size: tuple[int, int]
    """Width and height of the frames."""
    frame_rate: float | None = None
    """Frames per second, reached by dropping and repeating frames; None keeps all frames."""
    crop: tuple[int, int, int, int] | None = None
    """Box (left, top, right, bottom) of the footage to use, in pixels."""
    keep_aspect: Literal["pad", "crop", "stretch"] = "stretch"
    """How to handle a different aspect ratio: add black borders, crop, or distort."""
    start: float | None = None
    """Seconds to skip at the beginning of each source."""
    end: float | None = None
    """Time in seconds at which to end each source."""
    max_frames: int | None = None
    """Maximum number of frames per source."""
    detect_cuts: bool = False
    """Whether each scene becomes a separate video."""
    splits: tuple[float, float, float] | None = None
    """Fractions of train, val and test; None: one flat folder."""

    def __post_init__(self) -> None:
        if self.crop:
            require_box(self.crop)
        if not 0 <= (self.start or 0) < (math.inf if self.end is None else self.end):
            raise UserError(f"--start {self.start} --end {self.end}: no part of a video; give 0 <= start < end")
        if self.splits and not (min(self.splits) >= 0 and math.isclose(sum(self.splits), 1, abs_tol=1e-6)):
            raise UserError(f"--split {_spaced(self.splits)}: the fractions of train, val and test must add up to 1")

    def named(self) -> dict[str, object]:
        """Return the options by their names on the command line."""
        renamed = {"frame_rate": "fps", "splits": "split"}
        return {renamed.get(name, name): value for name, value in asdict(self).items()}


def require_box(crop: tuple[int, int, int, int]) -> None:
    """Check that a box (left, top, right, bottom) is not empty.

    Raises:
        UserError: it is.
    """
    left, top, right, bottom = crop
    if not (0 <= left < right and 0 <= top < bottom):
        raise UserError(f"--crop {_spaced(crop)}: is no box; give 0 <= L < R and 0 <= T < B")


@dataclass(frozen=True)
class Conversion:
    """Contents of a data set after a conversion, including the results of earlier runs."""

    num_videos: int = 0
    num_frames: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    """Reason why a source was skipped, by its name."""
    warnings: dict[str, str] = field(default_factory=dict)
    """Problem of a source whose intact frames were kept, by its name."""


@dataclass(frozen=True)
class ConvertedSource:
    """Result of converting one source."""

    name: str
    videos: list[str]
    """Folders within the data set; none if the source was skipped."""
    num_frames: int
    problem: str | None
    """Why it could not be read, or not to its end."""


def convert_sources(
    sources: Sequence[Source], options: ConversionOptions, output_directory: Path, processes: int
) -> Conversion:
    """Convert the sources missing in `output_directory`, with a progress bar.

    Unreadable sources are skipped. If reading fails later, the frames before are kept. Sources are pickled if there are
    several processes. Frames of a `VideoFile` are resized by ffmpeg, others by Pillow.

    Raises:
        UserError: the folder holds anything but a conversion with these options, other sources have their numbers
            there, another process converts there, or a split would be empty.
        OSError: a file cannot be written.
    """
    places = _places([source.name for source in sources], options.splits)
    claim_folder(output_directory, CONVERSION_FILE, options.named(), "converted")
    with only_process(output_directory, "folder"):
        done = _read_log(output_directory, places)
        missing = [(source, places[source.name]) for source in sources if source.name not in done]
        convert = functools.partial(convert_source, output_directory, options)
        with (
            (output_directory / SOURCES_FILE).open("a", encoding="utf-8") as log,
            tqdm(total=len(sources), initial=len(done), unit="video") as progress,
        ):

            def keep(converted: ConvertedSource) -> None:
                done[converted.name] = converted
                if converted.videos:
                    log.write(_log_line(converted))
                    log.flush()
                progress.update()

            run_in_parallel(convert, missing, processes, keep)
        in_order = [done[source.name] for source in sources]
        _write_log(output_directory, in_order)
    return Conversion(
        num_videos=sum(len(converted.videos) for converted in in_order),
        num_frames=sum(converted.num_frames for converted in in_order),
        skipped={found.name: found.problem for found in in_order if found.problem and not found.videos},
        warnings={found.name: found.problem for found in in_order if found.problem and found.videos},
    )


def convert_source(directory: Path, options: ConversionOptions, source: Source, place: str) -> ConvertedSource:
    """Write the videos of one source, `place` or `place_000`, `place_001`, ... in the data set `directory`.

    Raises:
        OSError: a frame cannot be written; the unfinished video is removed.
        KeyboardInterrupt: the work was cancelled; the unfinished video is removed.
    """
    problems: list[str] = []
    frames = itertools.islice(_readable(source, options, problems), options.max_frames)
    scenes = number_scenes(frames) if options.detect_cuts else number_parts(frames)
    videos, num_frames = [], 0
    for scene, scene_frames in itertools.groupby(scenes, operator.attrgetter("scene")):
        videos.append(f"{place}_{scene:03d}" if options.detect_cuts or scene else place)
        path = directory / videos[-1]
        shutil.rmtree(path, ignore_errors=True)  # left by a run that was killed before it could log it
        with VideoWriter(path) as writer:
            for shown in scene_frames:
                stop_if_given_up()
                writer.append(shown.frame.pixels, shown.frame.action, metadata=shown.frame.metadata)
                num_frames += 1
    return ConvertedSource(source.name, videos, num_frames, next(iter(problems), None))


def converted_frames(source: Source, options: ConversionOptions) -> Iterator[SourceFrame]:
    """Yield the frames of a source with the frame rate, time range, crop and size of the options.

    The actions of dropped frames are dropped too.

    Raises:
        SourceError: the source cannot be read further, the crop extends beyond the frames, or a time range is given for
            a source without frame rate.
    """
    if options.crop:
        _require_inside(source, options.crop)
    if isinstance(source, VideoFile):
        return source.frames(options.frame_rate, _ffmpeg_filters(options), options.start, options.end)
    return (replace(frame, pixels=_reshaped(frame.pixels, options)) for frame in _retimed(source, options))


def _readable(source: Source, options: ConversionOptions, problems: list[str]) -> Iterator[SourceFrame]:
    """Yield the readable frames, and append the reason to `problems` if reading fails."""
    try:
        yield from converted_frames(source, options)
    except SourceError as error:
        problems.append(one_line(error).removeprefix(f"{source.name}: "))


def _require_inside(source: Source, crop: tuple[int, int, int, int]) -> None:
    probe = source.probe()
    if crop[2] > probe.width or crop[3] > probe.height:
        raise SourceError(
            f"{source.name}: has {probe.width}x{probe.height} pixels, which do not hold the box {_spaced(crop)}"
        )


def _ffmpeg_filters(options: ConversionOptions) -> list[str]:
    width, height = options.target_size
    scale = f"scale={width}:{height}:flags=bicubic+accurate_rnd+full_chroma_int"
    filters = []
    if options.crop:
        left, top, right, bottom = options.crop
        filters.append(f"crop={right - left}:{bottom - top}:{left}:{top}:exact=1")
    match options.keep_aspect:
        case "stretch":
            filters.append(scale)
        case "pad":
            centre = "(ow-iw)/2:(oh-ih)/2"
            filters += [f"{scale}:force_original_aspect_ratio=decrease", f"format=rgb24,pad={width}:{height}:{centre}"]
        case "crop":
            filters += [f"{scale}:force_original_aspect_ratio=increase", f"format=rgb24,crop={width}:{height}"]
    return filters


def _reshaped(pixels: np.ndarray, options: ConversionOptions) -> np.ndarray:
    image = Image.fromarray(pixels)
    if options.crop:
        image = image.crop(options.crop)
    match options.keep_aspect:
        case "stretch":
            image = image.resize(options.target_size, Image.Resampling.BICUBIC)
        case "pad":
            image = ImageOps.pad(image, options.target_size, Image.Resampling.BICUBIC)
        case "crop":
            image = ImageOps.fit(image, options.target_size, Image.Resampling.BICUBIC)
    return np.asarray(image)


def _retimed(source: Source, options: ConversionOptions) -> Iterator[SourceFrame]:
    """Yield the frames shown at the times start, start + 1 / frame_rate, ... before the end.

    Frames of a source without frame rate count as recorded at `frame_rate`.
    """
    target = None if options.frame_rate is None else Fraction(options.frame_rate)
    rate = source.probe().frame_rate or target
    if rate is None:
        if options.start or options.end:
            raise SourceError(
                f"{source.name}: has no frame rate that would tell where --start and --end are; add --fps"
            )
        yield from source.frames()
        return
    target = target or rate
    start, end, follows_gap = Fraction(options.start or 0), options.end, False
    for index, frame in enumerate(source.frames()):
        if end is not None and index / rate >= end:
            return
        first, after = (max(0, math.ceil((shown / rate - start) * target)) for shown in (index, index + 1))
        follows_gap = follows_gap or frame.follows_gap
        for _ in range(first, after):
            yield replace(frame, follows_gap=follows_gap)
            follows_gap = False


def _places(names: Sequence[str], splits: tuple[float, float, float] | None) -> dict[str, str]:
    """Return the path of each source's videos within the data set."""
    if splits is None:
        return {name: f"{index:05d}" for index, name in enumerate(names)}
    places: dict[str, str] = {}
    ends = [round(len(names) * sum(splits[: position + 1])) for position in range(len(SPLITS))]
    for split, fraction, (first, last) in zip(SPLITS, splits, itertools.pairwise([0, *ends]), strict=True):
        if fraction and first == last:
            raise UserError(
                f"--split {_spaced(splits)}: leaves none of the {len(names)} videos to '{split}'; raise that fraction, "
                "set it to 0, or add videos"
            )
        places |= {name: f"{split}/{index:05d}" for index, name in enumerate(names[first:last])}
    return places


def _read_log(directory: Path, places: dict[str, str]) -> dict[str, ConvertedSource]:
    """Return the sources whose videos are all present.

    Raises:
        UserError: videos come from other sources than `places` says.
    """
    done = {}
    for converted in _parse_log(directory / SOURCES_FILE):
        place = places.get(converted.name)
        if not all(video.partition("_")[0] == place for video in converted.videos):
            raise UserError(
                f"{directory}: {converted.videos[0]} was converted from {converted.name}, which is "
                f"{'now ' + place if place else 'no longer there'}: footage was added or removed; choose a "
                "new folder"
            )
        if all((directory / video).is_dir() for video in converted.videos):
            done[converted.name] = converted
    _write_log(directory, done.values())
    return done


def converted_videos(directory: Path) -> dict[str, list[str]]:
    """Return the folders of each source's videos within a converted data set, by the name of the source."""
    return {converted.name: converted.videos for converted in _parse_log(directory / SOURCES_FILE)}


def _parse_log(file: Path) -> Iterator[ConvertedSource]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for line in lines:
        try:
            yield ConvertedSource(**json.loads(line))
        except ValueError:  # cut off when the process was killed
            return


def _write_log(directory: Path, sources: Iterable[ConvertedSource]) -> None:
    with replacing(directory / SOURCES_FILE) as file:
        file.write("".join(_log_line(converted) for converted in sources if converted.videos).encode())


def _log_line(converted: ConvertedSource) -> str:
    return json.dumps(asdict(converted)) + "\n"


def _spaced(values: Sequence[float]) -> str:
    return " ".join(map(str, values))

"""From footage of any kind to a data set: frames of one size and rate, one folder a video (docs/method.md#data-layout).

    DIR/00000/00000.png ...           without splits; DIR/{train,val,test}/00000/00000.png ... with them
    DIR/00000_000/00000.png ...       with cut detection: scene after scene of the footage that has the number 00000
    DIR/conversion.json               the options
    DIR/sources.jsonl                 a line for each converted piece of footage: its name, its videos, what was wrong

The number of a video is the place of its footage among all that was given (in its split), so that it depends neither on
processes nor on interruptions. Footage that cannot be read leaves its number free, and takes it when the conversion
is repeated after it was mended. Splits are cut in the given order, by footage: no two share any.

Frames are uint8 RGB (H, W, 3), times are seconds.
"""

import functools
import itertools
import json
import math
import operator
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
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
from dataset.acquisition.scene_cuts import SceneFrame, number_scenes
from dataset.splits import SPLITS
from dataset.video import VideoWriter
from utils.command import UserError, one_line
from utils.files import only_process, replacing

CONVERSION_FILE = "conversion.json"
SOURCES_FILE = "sources.jsonl"


@dataclass(frozen=True)
class ConversionOptions:
    """The options that decide every byte of a data set. `UserError` if they are impossible."""

    target_size: tuple[int, int]
    """Width and height of the frames."""
    frame_rate: float | None = None
    """Frames per second, dropped and repeated to; None keeps all frames."""
    crop: tuple[int, int, int, int] | None = None
    """The box (left, top, right, bottom) of the footage to use, in pixels."""
    keep_aspect: Literal["pad", "crop", "stretch"] = "stretch"
    """What is done where the shape differs: black borders, cut borders, or another shape."""
    start: float | None = None
    """Seconds of each piece of footage to leave out."""
    end: float | None = None
    """The second of each piece of footage to end before."""
    max_frames: int | None = None
    """Frames to take at most of each piece of footage."""
    detect_cuts: bool = False
    """Whether each scene becomes a video of its own."""
    splits: tuple[float, float, float] | None = None
    """The fractions of train, val and test; None: one flat folder."""

    def __post_init__(self) -> None:
        if self.crop:
            require_box(self.crop)
        if not 0 <= (self.start or 0) < (math.inf if self.end is None else self.end):
            raise UserError(f"--start {self.start} --end {self.end}: no part of a video; give 0 <= start < end")
        if self.splits and not (min(self.splits) >= 0 and math.isclose(sum(self.splits), 1, abs_tol=1e-6)):
            raise UserError(f"--split {_spaced(self.splits)}: the fractions of train, val and test must add up to 1")

    def named(self) -> dict[str, object]:
        """Return the options under the names that the command gives them."""
        renamed = {"frame_rate": "fps", "splits": "split"}
        return {renamed.get(name, name): value for name, value in asdict(self).items()}


def require_box(crop: tuple[int, int, int, int]) -> None:
    """`UserError` if a box (left, top, right, bottom) holds no pixels."""
    left, top, right, bottom = crop
    if not (0 <= left < right and 0 <= top < bottom):
        raise UserError(f"--crop {_spaced(crop)}: is no box; give 0 <= L < R and 0 <= T < B")


@dataclass(frozen=True)
class Conversion:
    """What a data set holds after a conversion, what earlier runs did included."""

    num_videos: int = 0
    num_frames: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    """Why footage was left out, by its name."""
    warnings: dict[str, str] = field(default_factory=dict)
    """What was wrong with footage of which intact frames were kept, by its name."""


@dataclass(frozen=True)
class ConvertedSource:
    """What became of one piece of footage."""

    name: str
    videos: list[str]
    """Folders within the data set; none if the footage was left out."""
    num_frames: int
    problem: str | None
    """Why it could not be read, or not to its end."""


def convert_sources(
    sources: Sequence[Source], options: ConversionOptions, output_directory: Path, processes: int
) -> Conversion:
    """Convert the sources that `output_directory` lacks, under a progress bar.

    Sources that cannot be read are left out. Where reading fails later, the frames before are kept. Sources are pickled
    if there are several processes. ffmpeg itself scales what comes from a `VideoFile`, Pillow the frames of others.

    Raises:
        UserError: the folder holds something else than a conversion with these options, other sources have their
            numbers there, another process converts there, or a split would be empty.
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
        OSError: a frame cannot be written; the unfinished video is removed then.
        KeyboardInterrupt: the work was given up; the unfinished video is removed then.
    """
    problems: list[str] = []
    frames = itertools.islice(_readable(source, options, problems), options.max_frames)
    scenes = number_scenes(frames) if options.detect_cuts else (SceneFrame(frame, 0) for frame in frames)
    videos, num_frames = [], 0
    for scene, scene_frames in itertools.groupby(scenes, operator.attrgetter("scene")):
        videos.append(f"{place}_{scene:03d}" if options.detect_cuts else place)
        path = directory / videos[-1]
        shutil.rmtree(path, ignore_errors=True)  # of a run that was killed before it could note it
        with VideoWriter(path) as writer:
            for shown in scene_frames:
                stop_if_given_up()
                writer.append(shown.frame.pixels, shown.frame.action, metadata=shown.frame.metadata)
                num_frames += 1
    return ConvertedSource(source.name, videos, num_frames, next(iter(problems), None))


def converted_frames(source: Source, options: ConversionOptions) -> Iterator[SourceFrame]:
    """Yield the frames of a source at the rate, of the part, the box and the size that the options say.

    Where frames are dropped, their actions are too.

    Raises:
        SourceError: the source cannot be read on, the box to crop lies outside, or the part to take cannot be told.
    """
    if options.crop:
        _require_inside(source, options.crop)
    if isinstance(source, VideoFile):
        return source.frames(options.frame_rate, _ffmpeg_filters(options), options.start, options.end)
    return (
        SourceFrame(_reshaped(frame.pixels, options), frame.action, frame.metadata)
        for frame in _retimed(source, options)
    )


def _readable(source: Source, options: ConversionOptions, problems: list[str]) -> Iterator[SourceFrame]:
    """The frames that can be read; `problems` gets what is wrong with the others."""
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
    """The frames shown at the times start, start + 1 / frame_rate, ... before the end.

    Frames of a source that has no time count as taken at `frame_rate`.
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
    start, end = Fraction(options.start or 0), options.end
    for index, frame in enumerate(source.frames()):
        if end is not None and index / rate >= end:
            return
        first, after = (max(0, math.ceil((shown / rate - start) * target)) for shown in (index, index + 1))
        yield from itertools.repeat(frame, after - first)


def _places(names: Sequence[str], splits: tuple[float, float, float] | None) -> dict[str, str]:
    """Where each source's videos go, within the data set."""
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
    """The sources whose videos are all there.

    Raises:
        UserError: others than `places` says have their numbers.
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

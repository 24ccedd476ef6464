"""Reader of video files, decoded by ffmpeg.

Frames are delivered as they would be displayed: rotated as the file specifies, with square pixels, 8 bits per channel,
transparency composited on white. ffmpeg recognises the file by its content, cannot open other files or URLs, and does
not read the keyboard. High dynamic range is mapped to that of ordinary screens.

Frames are uint8 (H, W, 3), times are seconds from the beginning of the file.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from dataset.acquisition.readers.damage import intact_runs
from dataset.acquisition.readers.files import folders_of, name_of
from dataset.acquisition.readers.pictures import MAX_PIXELS
from dataset.acquisition.readers.source import Probe, SourceError, SourceFrame
from utils.ffmpeg import (
    SILENCE_SECONDS,
    TONE_FILTER,
    Ffmpeg,
    FfmpegError,
    Header,
    Length,
    input_file,
    read_header,
    read_length,
    read_packets,
)
from utils.files import is_data

EXTENSIONS = frozenset(
    [
        *("mp4", "m4v", "mov", "qt", "3gp", "3g2", "mkv", "webm", "avi", "wmv", "asf", "flv", "f4v", "ogv"),
        *("mpg", "mpeg", "m2v", "vob", "ts", "mts", "m2ts"),
    ]
)
"""Recognised extensions of video files, in lower case."""

_CODECS_WITH_GROUPS = frozenset(["h264", "hevc", "mpeg2video"])
"""Codecs whose recordings may begin in the middle of a group of pictures."""

_MAX_RUNS = 256
"""Maximum number of intact runs of frames of a damaged file; nothing is kept after the first damage of others."""

_MAX_DELAY = 16
"""Maximum number of frames that a decoder holds back."""

_WHOLE = 0.95
"""Least share of the measured duration that a header tells if time does not start again on the way."""

_KEEP_ALL = "settb=1/25,setpts=N,fps=25"
"""Filter that spaces frames evenly, whatever their timestamps, so that ffmpeg neither drops nor repeats any."""

_OWN_TIMES = (
    r"setpts=if(isnan(PREV_OUTPTS)\,if(isnan(PTS)\,0\,PTS)\,"
    r"PREV_OUTPTS+if(gte(PTS-PREV_INPTS\,0)\,st(0\,PTS-PREV_INPTS)\,ld(0)))"
)
"""Filter that leaves timestamps as they are; where they go back or are missing, time goes on by the last interval."""

_STRICTLY = {"err_detect:v": "explode"}
"""Options with which damaged frames are not decoded."""

_ON_WHITE = "format=rgba,split[front],lutrgb=r=255:g=255:b=255:a=255[back];[back][front]overlay=format=rgb"

_SQUARE_PIXELS = "scale=w='round(iw*sar)':h=ih:flags=bicubic,setsar=1"

_TONE_MAPPED = (
    f"{TONE_FILTER}=tin={{transfer}}:min=bt2020nc:pin=bt2020:rin=tv:t=linear:npl=100,format=gbrpf32le,"
    f"{TONE_FILTER}=p=bt709,tonemap=hable:desat=0,{TONE_FILTER}=t=bt709:m=bt709:r=tv,format=yuv444p"
)
"""Filters that make footage of high dynamic range look on an ordinary screen as on its own."""


@dataclass(frozen=True)
class VideoFile:
    """One video file, or the part of it from `start` to `end`."""

    path: Path
    name: str
    start: float | None = None
    end: float | None = None
    can_seek: bool = True
    """Whether the beginning of a part is found without decoding what is before it."""

    def is_video(self) -> bool:
        """Whether ffmpeg finds a video in the file."""
        with suppress(SourceError):
            return bool(self._header.codec)
        return False

    def probe(self) -> Probe:
        """Read the header and decode the first frame.

        The number of frames follows from the duration and the average frame rate. If the header has no duration, frames
        are counted without decoding.

        Raises:
            SourceError: they cannot be read.
        """
        header = self._header
        if header.duration is None:
            header = self._measured
        return self._probe(header)

    def measured(self) -> tuple["VideoFile", Probe]:
        """Return this video with its properties, the number of frames and their rate found by reading the whole file.

        Where time starts again on the way, as in joined recordings, the returned video does not seek.

        Raises:
            SourceError: it cannot be read.
        """
        length, told = self._length, self._header.duration
        can_seek = length is None or _WHOLE * length.seconds <= min(length.span, told or math.inf)
        return replace(self, can_seek=can_seek), self._probe(self._measured)

    def _probe(self, header: Header) -> Probe:
        height, width, _ = next(self.frames()).pixels.shape
        num_frames = None
        if header.duration is not None and header.frame_rate is not None:
            duration = min(header.duration, self.end or header.duration) - (self.start or 0)
            num_frames = max(1, round(duration * header.frame_rate))
        return Probe(width, height, header.frame_rate, num_frames)

    def frames(
        self,
        frame_rate: float | None = None,
        filters: Sequence[str] = (),
        start: float | None = None,
        end: float | None = None,
    ) -> Iterator[SourceFrame]:
        """Yield the decoded frames in order.

        Args:
            frame_rate: frames per second, reached by dropping and repeating frames; None yields all frames.
            filters: ffmpeg video filters to apply to the frames.
            start: time in this video to begin at, in seconds.
            end: time in this video to end before, in seconds.

        Raises:
            SourceError: there are no such frames, or ffmpeg reported damage. It is then raised after the intact frames,
                of which those after a gap are marked, and the last frame, in which ffmpeg may have concealed errors, is
                withheld.
        """
        first, length = self._part(start, end)
        timing = f"{_OWN_TIMES},setpts=PTS-STARTPTS,fps={frame_rate}" if frame_rate else _KEEP_ALL
        chain = [timing, *self._shown(filters)]
        num_given = 0
        for way in self._ways(first):
            try:
                for frame in itertools.islice(self._decoded(chain, first, length, way), num_given, None):
                    yield frame
                    num_given += 1
                return
            except _DamageError as error:
                damage = error
        for frame in self._around_damage(damage, chain, first, length, frame_rate, num_given):
            yield frame
            num_given += 1
        if not num_given and self._header.codec in _CODECS_WITH_GROUPS:
            yield from self._decoded(chain, first, length, _Way.TOLERANT)
        raise damage

    def _shown(self, filters: Sequence[str]) -> list[str]:
        """Return the filters that make frames as they are shown, and those given."""
        chain = [_ON_WHITE] if self._header.has_alpha else []
        chain += [_SQUARE_PIXELS]
        chain += [_TONE_MAPPED.format(transfer=self._header.hdr_transfer)] if self._header.hdr_transfer else []
        return [*chain, *filters, "format=rgb24"]

    def _around_damage(
        self,
        damage: "_DamageError",
        chain: Sequence[str],
        first: float,
        length: float,
        frame_rate: float | None,
        num_given: int,
    ) -> Iterator[SourceFrame]:
        """Yield the intact frames of a damaged part after those that were given already, if they are known.

        Raises:
            _DamageError: the same damage, and how many frames are left out; raised after the frames.
        """
        try:
            packets, time_base = read_packets(self._input())
            decoded, _ = read_packets(self._input(**_STRICTLY), time_base)
        except FfmpegError:
            return
        found = intact_runs(packets, decoded, time_base)
        if found is None:
            return
        part = found.within(first, first + length)
        runs, is_continued = part.after(num_given, frame_rate)
        if not 0 < len(runs.times) <= _MAX_RUNS:
            return
        runs_of_frames = runs.ticks(frame_rate) if frame_rate else runs.numbers
        before = 0 if is_continued or not num_given else None
        with suppress(_DamageError, NoFramesError):
            for index, frame in enumerate(self._decoded([runs.selection, *chain], 0, math.inf, _Way.AROUND)):
                run = runs_of_frames.get(index)
                if run is not None:
                    yield replace(frame, follows_gap=run != before)
                    before = run
        num_frames = sum(first <= packet.time * time_base < first + length for packet in packets)
        left_out = f"{num_frames - part.num_frames} of the {num_frames} frames still there are left out"
        raise _DamageError(f"{damage}; {left_out}") from damage

    def _ways(self, first: float) -> list["_Way"]:
        """Return the decoding strategies for a part that begins at `first` seconds; each is tried if one fails."""
        ways = [_Way.FROM_KEYFRAME] if self.can_seek else []
        return [*ways, _Way.FROM_BEGINNING] if first or not ways else ways

    def _decoded(self, filters: Sequence[str], first: float, length: float, way: "_Way") -> Iterator[SourceFrame]:
        """Yield the frames of a part of the file.

        Raises:
            _DamageError: ffmpeg reported damage; raised after the frames, of which the last one is withheld.
        """
        reading: dict[str, Any] = {"threads": 1} if way is _Way.TOLERANT else dict(_STRICTLY)
        silence_seconds = SILENCE_SECONDS
        if first and way is _Way.FROM_BEGINNING:
            silence_seconds += first  # the frames before are decoded at least in real time
        elif first:
            reading["ss"] = first
        if way is _Way.FROM_BEGINNING:
            until = f":end={first + length}" if length < math.inf else ""
            filters = [f"{_OWN_TIMES},trim=start={first}{until}", *filters]
        elif length < math.inf:
            reading["t"] = length
        if not self._header.is_turned:  # what turns frames expects all of one size
            reading["reinit_filter"] = 0  # time goes on, and the size stays, where the size changes on the way
        if self._header.decoder:
            reading["c:v"] = self._header.decoder
        stream = self._input(**reading).output(
            "pipe:", map="0:V:0", vf=",".join(filters), format="image2pipe", vcodec="ppm"
        )
        quietly = stream.global_args("-nostdin", "-nostats", "-loglevel", "level+error")
        last, num_decoded, num_heard = None, 0, 0
        with Ffmpeg(quietly, silence_seconds=silence_seconds) as process:
            try:
                for pixels in process.frames():
                    num_decoded += 1
                    if num_decoded <= _MAX_DELAY:
                        num_heard = process.num_heard
                    elif way is _Way.TOLERANT and process.num_heard > num_heard:
                        raise FfmpegError(process.complaint or process.last_words)
                    if way in _STRICT and process.num_heard and process.complaint:
                        raise FfmpegError(process.complaint)
                    if last is not None:
                        yield SourceFrame(last)
                    last = pixels
                code = process.finish()
                problem = process.complaint or (f"ffmpeg ended with code {code}" if code else None)
            except FfmpegError as error:
                problem = str(error)
        if problem:
            raise _DamageError(f"{self.name}: damaged or incomplete: {problem}")
        if last is None:
            raise NoFramesError(f"{self.name}: has no frames there")
        yield SourceFrame(last)

    def _part(self, start: float | None, end: float | None) -> tuple[float, float]:
        """Return where a part of this video begins in the file, and how long it is, in seconds."""
        offset = self.start or 0.0
        first = offset + (start or 0.0)
        last = min(math.inf if self.end is None else self.end, math.inf if end is None else offset + end)
        if last <= first:
            raise NoFramesError(f"{self.name}: has no frames there")
        return first, last - first

    @functools.cached_property
    def _header(self) -> Header:
        try:
            if not self.path.stat().st_size:
                raise SourceError(f"{self.name}: is empty")
        except OSError as error:
            raise SourceError(f"{self.name}: cannot be read: {error.strerror}") from error
        try:
            return read_header(self._input())
        except FfmpegError as error:
            raise SourceError(f"{self.name}: holds no video that ffmpeg can read ({error})") from error

    @functools.cached_property
    def _measured(self) -> Header:
        """The header with duration and average frame rate measured by reading the whole file, if possible."""
        length = self._length
        if length is None or not length.seconds:
            return self._header
        rate = round(Fraction(length.num_frames / length.seconds), 2)
        return replace(self._header, duration=length.seconds, frame_rate=rate)

    @functools.cached_property
    def _length(self) -> Length | None:
        try:
            return read_length(self._input())
        except FfmpegError:
            return None

    def _input(self, **options: Any) -> ffmpeg.nodes.FilterableStream:
        return input_file(self.path, max_pixels=MAX_PIXELS, **options)


class NoFramesError(SourceError):
    """A part of a video in which there are no frames."""


class _DamageError(SourceError):
    """Damaged frames."""


class _Way(Enum):
    """Strategies of decoding."""

    FROM_KEYFRAME = auto()
    """From the keyframe before the first frame, up to the first damage."""
    FROM_BEGINNING = auto()
    """From the beginning of the file, since frames may refer to others before a keyframe, up to the first damage."""
    TOLERANT = auto()
    """From the first keyframe, whose neighbours may refer to missing frames, up to the first damage after that."""
    AROUND = auto()
    """From the beginning to the end of the file, whatever is damaged."""


_STRICT = (_Way.FROM_KEYFRAME, _Way.FROM_BEGINNING)


def find(path: Path, extension: str | None = None) -> list[VideoFile]:
    """Return the video files in a folder and in its direct sub-folders, sorted by path, or the one file at `path`.

    They end with `extension`, or with any of `EXTENSIONS`, in upper or lower case. Hidden files and folders are
    ignored. The names are paths relative to the folder.
    """
    wanted = {extension.lower().removeprefix(".")} if extension else EXTENSIONS

    def is_video(file: Path) -> bool:
        return file.suffix.lower().removeprefix(".") in wanted and is_data(file) and file.is_file()

    candidates = [path] if path.is_file() else [file for folder in folders_of(path) for file in folder.iterdir()]
    return [VideoFile(file, name_of(file, path)) for file in sorted(filter(is_video, candidates))]

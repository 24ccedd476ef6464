"""Video files, decoded by ffmpeg.

Frames arrive as ffmpeg would show them: turned as the file says, with square pixels, 8 bits a channel, transparency
composited on white. ffmpeg gets the file by its content, may open no other file and no address, and is kept from the
keyboard.

Frames are uint8 (H, W, 3), times are seconds from the beginning of the file.
"""

import functools
import math
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import ffmpeg
import numpy as np

from dataset.acquisition.readers.files import folders_of, name_of
from dataset.acquisition.readers.pictures import MAX_PIXELS
from dataset.acquisition.readers.source import Probe, SourceError, SourceFrame
from utils.video_writer import ffmpeg_command

EXTENSIONS = frozenset(
    ["mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "mts", "m2ts", "wmv", "flv", "ogv", "3gp"]
)
"""What video files are recognised by when any will do, in lower case."""

_CONTAINERS = "mov,mp4,matroska,webm,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,h264,hevc"
"""ffmpeg's names for what a file may contain: no playlists, which would name other files."""

_KEEP_ALL = "setpts=N/25/TB,fps=25"
"""Makes frames evenly timed, whatever their times were, so that ffmpeg neither drops nor repeats any."""

_ON_WHITE = "format=rgba,split[front],lutrgb=r=255:g=255:b=255:a=255[back];[back][front]overlay=format=rgb"

_SQUARE_PIXELS = "scale=w='round(iw*sar)':h=ih:flags=bicubic,setsar=1"


@dataclass(frozen=True)
class VideoFile:
    """One video file, or the part of it from `start` to `end`."""

    path: Path
    name: str
    start: float | None = None
    end: float | None = None

    def probe(self) -> Probe:
        """Look at the header and the first frame. `SourceError` if they cannot be read.

        The number of frames follows from the duration and the average rate that the header tells.
        """
        header = self._header
        height, width, _ = next(self.frames()).pixels.shape
        duration = None if header.duration is None else min(header.duration, self.end or header.duration)
        num_frames = None
        if duration is not None and header.frame_rate is not None:
            num_frames = max(1, round((duration - (self.start or 0)) * header.frame_rate))
        return Probe(width, height, header.frame_rate, num_frames)

    def frames(
        self,
        frame_rate: float | None = None,
        filters: Sequence[str] = (),
        start: float | None = None,
        end: float | None = None,
    ) -> Iterator[SourceFrame]:
        """Decode the frames, in order.

        Args:
            frame_rate: Frames per second to drop and repeat frames for; all frames are given if None.
            filters: ffmpeg's video filters to apply to the frames.
            start: Seconds into this video to begin at.
            end: Seconds into this video to end before.

        Raises:
            SourceError: there are no such frames, or ffmpeg complained of damage. It is raised last then, and the last
                frame, which ffmpeg may have patched up, is withheld.
        """
        command = self._command(frame_rate, filters, start, end)
        with (
            tempfile.TemporaryFile() as messages,
            # A session of its own keeps Ctrl-C in the terminal from ending it, which would look like the video's end.
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages, start_new_session=True
            ) as process,
        ):
            try:
                assert process.stdout is not None
                last = None
                for pixels in _read_ppm(process.stdout):
                    if last is not None:
                        yield SourceFrame(last)
                    last = pixels
                code = process.wait()
            finally:
                process.kill()
            messages.seek(0)
            complaint = _complaint(messages.read().decode(errors="replace"))
        if complaint or code:
            raise SourceError(f"{self.name}: damaged or incomplete: {complaint or f'ffmpeg ended with code {code}'}")
        if last is None:
            raise SourceError(f"{self.name}: has no frames there")
        yield SourceFrame(last)

    def _command(
        self, frame_rate: float | None, filters: Sequence[str], start: float | None, end: float | None
    ) -> list[str]:
        offset = self.start or 0.0
        first = offset + (start or 0.0)
        last = min(math.inf if self.end is None else self.end, math.inf if end is None else offset + end)
        if last <= first:
            raise SourceError(f"{self.name}: has no frames there")
        reading: dict[str, Any] = {"err_detect:v": "explode"}
        if first > 0:
            reading["ss"] = first
        if last < math.inf:
            reading["t"] = last - first
        if self._header.decoder:
            reading["c:v"] = self._header.decoder
        chain = [f"setpts=PTS-STARTPTS,fps={frame_rate}" if frame_rate else _KEEP_ALL]
        chain += [_ON_WHITE] if self._header.has_alpha else []
        chain += [_SQUARE_PIXELS, *filters, "format=rgb24"]
        return (
            _input(self.path, **reading)
            .output("pipe:", map="0:V:0", vf=",".join(chain), format="image2pipe", vcodec="ppm")
            .global_args("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+error")
            .compile(cmd=ffmpeg_command())
        )

    @functools.cached_property
    def _header(self) -> "_Header":
        try:
            if not self.path.stat().st_size:
                raise SourceError(f"{self.name}: is empty")
        except OSError as error:
            raise SourceError(f"{self.name}: cannot be read: {error.strerror}") from error
        # Nothing is decoded: with no duration, the null output ends before it begins.
        ended = subprocess.run(
            _input(self.path)
            .output("pipe:", map="0:V:0", format="null", vcodec="copy", t=0)
            .global_args("-hide_banner", "-nostdin", "-loglevel", "level+info")
            .compile(cmd=ffmpeg_command()),
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        text = ended.stderr.decode(errors="replace")
        stream = re.search(r" Stream #.*: Video: (?!.*\(attached pic\)).*", text)
        if stream is None:
            reason = _complaint(text) or "there is no such stream"
            raise SourceError(f"{self.name}: holds no video that ffmpeg can read ({reason})")
        return _Header.parse(text, stream[0])


@dataclass(frozen=True)
class _Header:
    """What ffmpeg tells of a file before it decodes anything."""

    duration: float | None  # seconds
    frame_rate: Fraction | None  # average, of two decimals
    has_alpha: bool
    decoder: str | None  # None: ffmpeg's choice

    @staticmethod
    def parse(text: str, stream: str) -> "_Header":
        """Read all that ffmpeg said, and the line about the video stream."""
        duration = re.search(r"Duration: (\d+):(\d+):([\d.]+)", text)
        rate = re.search(r", ([\d.]+)(k?) fps", stream)
        pixel_format = re.search(r", (?:yuva|gbrap|ya\d|rgba|bgra|argb|abgr|pal8)", stream)
        hidden_alpha = re.search(r"alpha_mode +: 1", text)
        codec = re.search(r"Video: (vp[89])\b", stream)
        return _Header(
            duration=int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3]) if duration else None,
            frame_rate=(Fraction(rate[1]) * (1000 if rate[2] else 1) or None) if rate else None,
            has_alpha=bool(pixel_format or hidden_alpha),
            # ffmpeg's own decoders leave the transparency of WebM aside.
            decoder={"vp8": "libvpx", "vp9": "libvpx-vp9"}[codec[1]] if codec and hidden_alpha else None,
        )


def find(path: Path, extension: str | None = None) -> list[VideoFile]:
    """Return the video files in a folder and in its direct sub-folders, sorted by path, or the one file at `path`.

    They end with `extension`, or with any of `EXTENSIONS`, in upper or lower case. Hidden files and folders are left
    out. The names are the paths within the folder.
    """
    wanted = {extension.lower().removeprefix(".")} if extension else EXTENSIONS

    def is_video(file: Path) -> bool:
        return file.suffix.lower().removeprefix(".") in wanted and not file.name.startswith(".") and file.is_file()

    candidates = [path] if path.is_file() else [file for folder in folders_of(path) for file in folder.iterdir()]
    return [VideoFile(file, name_of(file, path)) for file in sorted(filter(is_video, candidates))]


def _input(file: Path, **options: Any) -> ffmpeg.nodes.FilterableStream:
    # "file:" keeps names with colons, dashes and percent signs names.
    return ffmpeg.input(
        f"file:{file}",
        protocol_whitelist="file",
        format_whitelist=_CONTAINERS,
        max_pixels=MAX_PIXELS,
        **options,
    )


def _read_ppm(stream: IO[bytes]) -> Iterator[np.ndarray]:
    """The pictures of a stream, which tell their own size, to its end."""
    while len(header := [stream.readline() for _ in range(3)][1].split()) == 2:
        width, height = map(int, header)
        pixels = stream.read(width * height * 3)
        if len(pixels) < width * height * 3:
            return
        yield np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def _complaint(messages: str) -> str | None:
    """The first message that tells of damage, without the part of ffmpeg and the level that it begins with."""
    for line in messages.splitlines():
        message = re.sub(r"^(\[[^]]*\] )*", "", line)
        origin = line.removesuffix(message)
        if "[error]" in origin or "[fatal]" in origin:
            return message.strip()
    return None

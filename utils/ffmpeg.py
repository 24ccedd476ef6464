"""ffmpeg as a child process: ffmpeg-python builds its arguments, and whoever reads or writes watches it.

One that gives, takes or makes nothing for too long is ended, and so is one that only complains. Of what it says, the
beginning and the end are kept.

Decoded frames arrive as PPM pictures: raw RGB behind their size, which only ffmpeg knows where videos are turned, have
pixels that are not square, or change their size on the way.
"""

import io
import math
import os
import re
import selectors
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import ffmpeg
import imageio_ffmpeg
import numpy as np

from utils.command import UserError

SILENCE_SECONDS = 300.0
"""How long ffmpeg may do nothing that is seen from outside: far longer than on a machine that is busy otherwise."""

MAX_COMPLAINTS = 2**22
"""Bytes of messages that ffmpeg may send without doing anything else."""

MAX_KEPT = 2**15
"""Bytes of its messages that are kept: as many from the beginning, and as many from the end."""

_CONTAINERS = "mov,mp4,matroska,webm,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,h264,hevc,gif,apng"
"""ffmpeg's names for what a file may contain: no playlists, which would name other files."""


class FfmpegError(Exception):
    """An ffmpeg that failed. The message is what it said of it, one line."""


class FfmpegStalledError(FfmpegError):
    """An ffmpeg that did not go on and was ended. The message says so, with its last words."""


def ffmpeg_command() -> str:
    """The ffmpeg of the system, or the one that comes with imageio-ffmpeg. `UserError` if there is neither."""
    try:
        return shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise UserError("ffmpeg is not installed; install it, for example with: apt-get install ffmpeg") from error


def is_written(path: Path) -> bool:
    """Whether a file is there that is not empty. ffmpeg's exit code may be 0 where there is none."""
    return path.is_file() and path.stat().st_size > 0


def file_url(path: Path) -> bytes:
    """Return what ffmpeg takes for a file, whatever its name: with colons or percent signs, or not in UTF-8."""
    return b"file:" + os.fsencode(path)


def input_file(path: Path, **options: Any) -> ffmpeg.nodes.FilterableStream:
    """A video file as input, recognised by its content, which can make ffmpeg open no other file and no address."""
    return ffmpeg.input(file_url(path), protocol_whitelist="file", format_whitelist=_CONTAINERS, **options)


class Ffmpeg:
    """A running ffmpeg, which is killed where the `with` block ends.

    Only the time that is spent waiting for it counts against it. Whatever waits raises `FfmpegStalledError`.
    """

    def __init__(
        self, stream: ffmpeg.nodes.OutputStream, takes_input: bool = False, silence_seconds: float = SILENCE_SECONDS
    ) -> None:
        """Start it.

        Args:
            stream: What it does, with the frames or files to come out.
            takes_input: Whether it is written to; else its standard output is read.
            silence_seconds: How long it may do nothing.
        """
        self._silence_seconds = silence_seconds
        self._messages = _Messages()
        self.num_heard = 0
        """Bytes of messages so far. What it said before it wrote is heard before that is read."""
        self._selector = selectors.DefaultSelector()
        # A session of its own keeps Ctrl-C in the terminal from ending it, which would look like the end of its work.
        self._process = subprocess.Popen(
            stream.global_args("-hide_banner").compile(cmd=ffmpeg_command()),
            stdin=subprocess.PIPE if takes_input else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if takes_input else subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._selector.register(_pipe(self._process.stderr), selectors.EVENT_READ)
        if takes_input:
            os.set_blocking(_pipe(self._process.stdin).fileno(), False)
            self._selector.register(_pipe(self._process.stdin), selectors.EVENT_WRITE)
        else:
            self._selector.register(_pipe(self._process.stdout), selectors.EVENT_READ)
            self._output = io.BufferedReader(_Output(self))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exception_type: type[BaseException] | None, exception: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill it if it still runs."""
        self._process.kill()
        self._process.wait()
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def write(self, data: bytes) -> None:
        """Write to its standard input. `BrokenPipeError` if it no longer reads."""
        left = memoryview(data)
        while left:
            self._wait()
            left = left[os.write(_pipe(self._process.stdin).fileno(), left) :]

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that it writes."""
        yield from self._output

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the PPM pictures that it writes, each uint8 (H, W, 3), to the last whole one."""
        while len(header := [self._output.readline() for _ in range(3)][1].split()) == 2:
            width, height = map(int, header)
            pixels = self._output.read(width * height * 3)
            if len(pixels) < width * height * 3:
                return
            yield np.frombuffer(pixels, np.uint8).reshape(height, width, 3)

    def finish(self) -> int:
        """Let it come to its end, pass over what it still writes, and return its exit code."""
        if self._process.stdin is not None:
            self._selector.unregister(self._process.stdin)
            self._process.stdin.close()
        else:
            while self._output.read(2**16):
                pass
            self._selector.unregister(_pipe(self._process.stdout))
        self._wait()
        try:
            return self._process.wait(self._silence_seconds)
        except subprocess.TimeoutExpired as error:
            raise self.stalled() from error

    @property
    def messages(self) -> str:
        """What it has said so far: all, or the beginning and the end."""
        return str(self._messages)

    @property
    def complaint(self) -> str | None:
        """The first message that tells of damage, without the part of ffmpeg and the level that it begins with."""
        for line in self.messages.splitlines():
            message = re.sub(r"^(\[[^]]*\] )*", "", line)
            origin = line.removesuffix(message)
            if "[error]" in origin or "[fatal]" in origin:
                return message.strip()
        return None

    @property
    def last_words(self) -> str:
        """The last line of what it said, which tells best why it failed."""
        return (self.messages.strip().splitlines() or ["no reason given"])[-1].strip()

    def stalled(self) -> FfmpegStalledError:
        """What to raise where it does not go on."""
        return FfmpegStalledError(f"ffmpeg did not go on for {self._silence_seconds:g} s ({self.last_words})")

    def _wait(self) -> None:
        """Wait until the pipe that is read or written is ready or, if it is closed, until all messages are heard."""
        deadline, heard_before = time.monotonic() + self._silence_seconds, self.num_heard
        while self._selector.get_map():
            ready = [key.fileobj for key, _ in self._selector.select(max(0.0, deadline - time.monotonic()))]
            if self._process.stderr in ready:
                self._listen()
            if self._process.stdout in ready or self._process.stdin in ready:
                return
            if self.num_heard - heard_before > MAX_COMPLAINTS:
                raise FfmpegStalledError(f"ffmpeg only complains ({self.last_words})")
            if time.monotonic() >= deadline:
                raise self.stalled()

    def _listen(self) -> None:
        """Take in messages that are there."""
        stderr = _pipe(self._process.stderr)
        said = os.read(stderr.fileno(), 2**16)
        self._messages.add(said)
        self.num_heard += len(said)
        if not said:
            self._selector.unregister(stderr)

    def _read_into(self, buffer: Any) -> int:
        self._wait()
        return os.readv(_pipe(self._process.stdout).fileno(), [buffer])


class _Output(io.RawIOBase):
    """The standard output of an ffmpeg, for `io.BufferedReader`."""

    def __init__(self, process: Ffmpeg) -> None:
        self._process = process

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._process._read_into(buffer)


class _Messages:
    """The beginning and the end of what is said."""

    def __init__(self) -> None:
        self._first = self._last = b""

    def add(self, said: bytes) -> None:
        room = MAX_KEPT - len(self._first)
        self._first += said[:room]
        self._last = (self._last + said[room:])[-MAX_KEPT:]

    def __str__(self) -> str:
        gap = b"\n" if len(self._last) == MAX_KEPT else b""
        return (self._first + gap + self._last).decode(errors="replace").replace("\r", "\n")


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def run_ffmpeg(stream: ffmpeg.nodes.OutputStream, result: Path) -> None:
    """Run ffmpeg, which is to write a file. `FfmpegError` if it does not."""
    quiet = stream.global_args("-loglevel", "error", "-nostdin", "-y", "-nostats", "-progress", "pipe:1")
    with Ffmpeg(quiet) as process:
        reached, since = b"", time.monotonic()
        for line in process.lines():
            if line.startswith(b"out_time="):
                if line != reached:
                    reached, since = line, time.monotonic()
                elif time.monotonic() - since > SILENCE_SECONDS:
                    raise process.stalled()
        if process.finish() or not is_written(result):
            raise FfmpegError(process.last_words)


def read_length(file: ffmpeg.nodes.FilterableStream) -> tuple[int, float]:
    """Return how many frames the first video in an input has, and seconds. The whole file is read, none decoded.

    `FfmpegError` if there are no frames.
    """
    stream = file.output("pipe:", map="0:V:0", vcodec="copy", format="framecrc")
    num_frames, begin, end, time_base = 0, math.inf, -math.inf, Fraction(1)
    with Ffmpeg(stream.global_args("-nostdin", "-loglevel", "error")) as process:
        for line in process.lines():
            if line.startswith(b"#tb 0:"):
                time_base = Fraction(line.partition(b":")[2].strip().decode())
            elif not line.startswith(b"#"):
                shown, duration = map(int, line.split(b",")[2:4])
                num_frames, begin, end = num_frames + 1, min(begin, shown), max(end, shown + duration)
        process.finish()
        if not num_frames:
            raise FfmpegError(process.last_words)
    return num_frames, (end - begin) * float(time_base)


@dataclass(frozen=True)
class Header:
    """What ffmpeg tells of a video file before it decodes anything."""

    duration: float | None
    """In seconds. None if the file does not say."""
    frame_rate: Fraction | None
    """Frames per second on average, of two decimals."""
    codec: str
    """As ffmpeg calls it, such as `h264`."""
    has_alpha: bool
    decoder: str | None
    """What decodes transparency, too. None: ffmpeg's choice."""


def read_header(file: ffmpeg.nodes.FilterableStream) -> Header:
    """Return the header of the first video in an input. `FfmpegError` if there is none that ffmpeg can read.

    ffmpeg's log is read, since the ffmpeg of imageio-ffmpeg comes without ffprobe.
    """
    # Nothing is decoded: with no duration, the null output ends before it begins.
    stream = file.output("pipe:", map="0:V:0", format="null", vcodec="copy", t=0)
    with Ffmpeg(stream.global_args("-nostdin", "-loglevel", "level+info")) as process:
        process.finish()
        text = process.messages
        video = re.search(r" Stream #.*: Video: (?!.*\(attached pic\)).*", text)
        if video is None:
            raise FfmpegError(process.complaint or "there is no such stream")
    duration = re.search(r"Duration: (\d+):(\d+):([\d.]+)", text)
    rate = re.search(r", ([\d.]+)(k?) fps", video[0])
    pixel_format = re.search(r", (?:yuva|gbrap|ya\d|rgba|bgra|argb|abgr|pal8)", video[0])
    hidden_alpha = re.search(r"alpha_mode +: 1", text)
    codec = video[0].partition(" Video: ")[2].partition(",")[0].partition(" ")[0]
    return Header(
        duration=int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3]) if duration else None,
        frame_rate=(Fraction(rate[1]) * (1000 if rate[2] else 1) or None) if rate else None,
        codec=codec,
        has_alpha=bool(pixel_format or hidden_alpha),
        # ffmpeg's own decoders leave the transparency of WebM aside.
        decoder={"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(codec) if hidden_alpha else None,
    )

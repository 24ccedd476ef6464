"""Run ffmpeg as a child process with a watchdog; ffmpeg-python builds its arguments.

A process that neither reads, writes nor makes progress for too long is killed, and so is one that only prints messages.
The beginning and the end of its messages are kept.

Decoded frames arrive as PPM images, raw RGB behind a header with their size, since only ffmpeg knows the size of videos
that are rotated, have non-square pixels, or change their size on the way.
"""

import io
import itertools
import os
import re
import selectors
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import ffmpeg
import numpy as np

from utils.ffmpeg_program import ffmpeg_command

SILENCE_SECONDS = 300.0
"""Seconds without visible progress after which ffmpeg counts as stalled: far more than on a busy machine."""

MAX_COMPLAINTS = 2**22
"""Bytes of messages that ffmpeg may print without any other progress."""

ENCODER = "libx264"
"""The encoder of the videos that are written; some builds of ffmpeg lack it."""

TONE_FILTER = "zscale"
"""The filter that makes HDR footage linear; some builds of ffmpeg lack it."""

MAX_KEPT = 2**15
"""Bytes of its messages that are kept from the beginning, and as many from the end."""

_CONTAINERS = "mov,mp4,matroska,webm,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,h264,hevc,gif,apng"
"""ffmpeg's names for what a file may contain: no playlists, which would name other files."""


class FfmpegError(Exception):
    """A failed ffmpeg process, with ffmpeg's own message, one line."""


class FfmpegStalledError(FfmpegError):
    """An ffmpeg process killed because it stalled, with its last line of output in the message."""


def is_written(path: Path) -> bool:
    """Whether a file exists and is not empty; ffmpeg's exit code may be 0 although nothing was written."""
    return path.is_file() and path.stat().st_size > 0


def file_url(path: Path) -> bytes:
    """Return what ffmpeg takes for a file, whatever its name: with colons or percent signs, or not in UTF-8."""
    return b"file:" + os.fsencode(path)


def input_file(path: Path, **options: Any) -> ffmpeg.nodes.FilterableStream:
    """A video file as input, recognised by its content, which can make ffmpeg open no other file and no address."""
    return ffmpeg.input(file_url(path), protocol_whitelist="file", format_whitelist=_CONTAINERS, **options)


class Ffmpeg:
    """A running ffmpeg process, killed at the end of the `with` block.

    Only time spent waiting for it counts towards the time limit. All methods that wait raise `FfmpegStalledError`.
    """

    def __init__(
        self, stream: ffmpeg.nodes.OutputStream, takes_input: bool = False, silence_seconds: float = SILENCE_SECONDS
    ) -> None:
        """Start the process.

        Args:
            stream: the filter graph with its outputs.
            takes_input: whether its standard input is written; else its standard output is read.
            silence_seconds: how long it may make no progress.
        """
        self._silence_seconds = silence_seconds
        self._messages = _Messages()
        self.num_heard = 0
        """Bytes of messages read so far. Messages are read before the output that follows them."""
        self._selector = selectors.DefaultSelector()
        arguments = stream.global_args("-hide_banner").get_args()
        encoder = ENCODER if ENCODER in arguments else None
        filter_name = TONE_FILTER if any(f"{TONE_FILTER}=" in argument for argument in map(str, arguments)) else None
        # In a session of its own, it is not ended by Ctrl-C in the terminal, which would look like normal completion.
        self._process = subprocess.Popen(
            [ffmpeg_command(encoder, filter_name), *arguments],
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
        """Kill the process if it is still running."""
        self._process.kill()
        self._process.wait()
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def write(self, data: bytes) -> None:
        """Write to the standard input.

        Raises:
            BrokenPipeError: ffmpeg no longer reads.
        """
        left = memoryview(data)
        while left:
            self._wait()
            left = left[os.write(_pipe(self._process.stdin).fileno(), left) :]

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the standard output."""
        yield from self._output

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the PPM images of the standard output, each uint8 (H, W, 3), up to the last complete one."""
        while len(header := [self._output.readline() for _ in range(3)][1].split()) == 2:
            width, height = map(int, header)
            pixels = self._output.read(width * height * 3)
            if len(pixels) < width * height * 3:
                return
            yield np.frombuffer(pixels, np.uint8).reshape(height, width, 3)

    def finish(self) -> int:
        """Wait for the process to end, discarding further output, and return its exit code."""
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
        """All messages so far, or their beginning and end."""
        return str(self._messages)

    @property
    def complaint(self) -> str | None:
        """First error message, without its prefix of ffmpeg component and log level; None if there is none."""
        for line in self.messages.splitlines():
            message = re.sub(r"^(\[[^]]*\] )*", "", line)
            origin = line.removesuffix(message)
            if "[error]" in origin or "[fatal]" in origin:
                return message.strip()
        return None

    @property
    def last_words(self) -> str:
        """Last line of its messages, which usually explains a failure best."""
        return (self.messages.strip().splitlines() or ["no reason given"])[-1].strip()

    def stalled(self) -> FfmpegStalledError:
        """Create the error to raise when it makes no progress."""
        return FfmpegStalledError(f"ffmpeg did not go on for {self._silence_seconds:g} s ({self.last_words})")

    def _wait(self) -> None:
        """Wait until the pipe in use is ready or, if it is closed, until all messages are read."""
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
        """Read the available messages."""
        stderr = _pipe(self._process.stderr)
        said = os.read(stderr.fileno(), 2**16)
        self._messages.add(said)
        self.num_heard += len(said)
        if not said:
            self._selector.unregister(stderr)

    def _read_into(self, buffer: Any) -> int:
        self._wait()
        num_bytes = os.readv(_pipe(self._process.stdout).fileno(), [buffer])
        # What was written between the two may follow a message that is not read yet.
        if any(key.fileobj is self._process.stderr for key, _ in self._selector.select(0)):
            self._listen()
        return num_bytes


class _Output(io.RawIOBase):
    """Standard output of an ffmpeg process, for `io.BufferedReader`."""

    def __init__(self, process: Ffmpeg) -> None:
        self._process = process

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._process._read_into(buffer)


class _Messages:
    """Beginning and end of a stream of messages."""

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
    """Run ffmpeg to write the file `result`.

    Raises:
        FfmpegError: the file is not written.
    """
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


@dataclass(frozen=True)
class Length:
    """How much video a file holds."""

    num_frames: int
    seconds: float
    """The duration, where time that stands still or starts again goes on."""
    span: float
    """Seconds from the first to the last time stamp."""


def read_length(file: ffmpeg.nodes.FilterableStream) -> Length:
    """Return the length of an input's first video stream.

    The whole file is read, but nothing is decoded.

    Raises:
        FfmpegError: there are no frames.
    """
    packets, time_base = read_packets(file)
    begin, end = min(packet.time for packet in packets), max(packet.time + packet.duration for packet in packets)
    repeated = sum(later.duration for packet, later in itertools.pairwise(packets) if later.order == packet.order)
    span = end - begin
    return Length(len(packets), (span + repeated) * float(time_base), span * float(time_base))


@dataclass(frozen=True)
class Packet:
    """A frame in a file, or a decoded one; times are counted in a time base."""

    order: int
    """Its place in the order of decoding, as a time."""
    time: int
    """When it is shown."""
    duration: int
    is_key: bool
    """Whether it is decoded without others."""


def read_packets(
    file: ffmpeg.nodes.FilterableStream, decoded_in: Fraction | None = None
) -> tuple[list[Packet], Fraction]:
    """Return the frames of an input's first video stream in the order of the file, and the seconds of a unit of time.

    The whole file is read. Nothing is decoded, unless a time base is given for the decoded frames.

    Raises:
        FfmpegError: there are no frames.
    """
    how: dict[str, Any] = {"vcodec": "copy"}
    if decoded_in is not None:
        how = {"vf": "scale=16:16", "vcodec": "rawvideo", "enc_time_base": str(decoded_in)}
    stream = file.output("pipe:", map="0:V:0", format="framecrc", **how)
    packets, time_base = [], Fraction(1)
    with Ffmpeg(stream.global_args("-nostdin", "-loglevel", "error")) as process:
        for line in process.lines():
            if line.startswith(b"#tb 0:"):
                time_base = Fraction(line.partition(b":")[2].strip().decode())
            elif not line.startswith(b"#"):
                fields = line.split(b",")
                flags = next((int(field.partition(b"=")[2], 16) for field in fields[6:] if b"F=" in field), 1)
                order, shown, duration = map(int, fields[1:4])
                packets.append(Packet(order, shown, duration, is_key=bool(flags & 1)))
        process.finish()
        if not packets:
            raise FfmpegError(process.last_words)
    return packets, time_base


HDR_TRANSFERS = ("smpte2084", "arib-std-b67")
"""ffmpeg's names of the transfer functions of high dynamic range: PQ and HLG."""


@dataclass(frozen=True)
class Header:
    """Properties of a video file that ffmpeg reports without decoding."""

    duration: float | None
    """In seconds. None if the file does not say."""
    frame_rate: Fraction | None
    """Average frames per second, rounded to two decimals."""
    codec: str
    """ffmpeg's name of the codec, such as `h264`."""
    has_alpha: bool
    is_turned: bool
    """Whether frames are rotated or mirrored before they are shown."""
    hdr_transfer: str | None
    """ffmpeg's name of the transfer function of high dynamic range; None: none."""
    decoder: str | None
    """Decoder that handles transparency. None: ffmpeg's choice."""


def read_header(file: ffmpeg.nodes.FilterableStream) -> Header:
    """Return the header of an input's first video stream.

    It is parsed from ffmpeg's log, since imageio-ffmpeg comes without ffprobe.

    Raises:
        FfmpegError: there is none that ffmpeg can read.
    """
    # With an output duration of 0 nothing is decoded.
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
        is_turned="displaymatrix: " in text,
        hdr_transfer=next((name for name in HDR_TRANSFERS if re.search(rf"[(/]{name}[,)]", video[0])), None),
        # ffmpeg's own decoders ignore the transparency of WebM.
        decoder={"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(codec) if hidden_alpha else None,
    )

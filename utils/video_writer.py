"""Video files, written frame by frame through ffmpeg."""

import shutil
import subprocess
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np

from utils.command import UserError


def ffmpeg_command() -> str:
    """The ffmpeg of the system, or the one that comes with imageio-ffmpeg. `UserError` if there is neither."""
    try:
        return shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise UserError("ffmpeg is not installed; install it, for example with: apt-get install ffmpeg") from error


def is_written(path: Path) -> bool:
    """Whether a file is there that is not empty. ffmpeg's exit code may be 0 where there is none."""
    return path.is_file() and path.stat().st_size > 0


def last_message(messages: bytes) -> str:
    """The last line of what ffmpeg said, which tells best why it failed."""
    return (messages.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]


class VideoWriter:
    """An H.264 video in an MP4 file.

    ffmpeg runs beside this process and finishes the file also when this process is killed.
    """

    def __init__(self, path: Path, frame_rate: float) -> None:
        """Write to `path`, a new file, at `frame_rate` frames a second. ffmpeg starts with the first frame."""
        self.path = path
        self.frame_rate = frame_rate
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, pixels: np.ndarray) -> None:
        """Add a frame, uint8 (H, W, 3), H and W even and the same for all.

        Raises:
            UserError: it cannot be written, or the file is there already, which then stays as it is.
        """
        if self._process is None:
            self._process = self._start(*pixels.shape[:2])
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(pixels.tobytes())
            self._process.stdin.flush()
        except BrokenPipeError as error:
            self.close()
            raise self._failure("it ended before the last frame") from error

    def close(self) -> None:
        """Finish the file. `UserError` if that fails; the part that was written stays."""
        if self._process is None:
            return
        process, self._process = self._process, None
        _, messages = process.communicate()
        if process.returncode or not is_written(self.path):
            self._remove_if_empty()
            raise self._failure(last_message(messages))

    def _start(self, height: int, width: int) -> "subprocess.Popen[bytes]":
        stream = ffmpeg.input(
            "pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", framerate=self.frame_rate
        )
        command = (
            stream.output(str(self.path), vcodec="libx264", pix_fmt="yuv420p", preset="veryfast", crf=16)
            .global_args("-loglevel", "error", "-y")
            .compile(cmd=ffmpeg_command())
        )
        self._create()
        # A session of its own keeps Ctrl-C in the terminal from ending it before the last frames are written.
        return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)

    def _create(self) -> None:
        """Make the file, so that what ffmpeg overwrites is ours: asked not to overwrite, it may exit with code 0."""
        try:
            self.path.open("xb").close()
        except OSError as error:
            raise self._failure(str(error.strerror)) from error

    def _remove_if_empty(self) -> None:
        if not is_written(self.path):
            self.path.unlink(missing_ok=True)

    def _failure(self, reason: str) -> UserError:
        return UserError(f"{self.path}: ffmpeg could not write it ({reason}); free some space or choose another folder")

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


class VideoWriter:
    """An H.264 video in an MP4 file.

    ffmpeg runs beside this process and finishes the file also when this process is killed.
    """

    def __init__(self, path: Path, frame_rate: float) -> None:
        """Write to `path`, at `frame_rate` frames a second. ffmpeg starts with the first frame."""
        self.path = path
        self.frame_rate = frame_rate
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, pixels: np.ndarray) -> None:
        """Add a frame, uint8 (H, W, 3), H and W even and the same for all. `UserError` if it cannot be written."""
        if self._process is None:
            self._process = self._start(*pixels.shape[:2])
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(pixels.tobytes())
            self._process.stdin.flush()
        except BrokenPipeError:
            self.close()

    def close(self) -> None:
        """Finish the file. `UserError` if that fails."""
        if self._process is None:
            return
        process, self._process = self._process, None
        _, messages = process.communicate()
        if process.returncode:
            reason = messages.decode(errors="replace").strip().splitlines()
            raise UserError(
                f"{self.path}: ffmpeg could not write it ({reason[-1] if reason else 'no reason given'}); free some "
                "space or choose another folder"
            )

    def _start(self, height: int, width: int) -> "subprocess.Popen[bytes]":
        stream = ffmpeg.input(
            "pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", framerate=self.frame_rate
        )
        command = (
            stream.output(str(self.path), vcodec="libx264", pix_fmt="yuv420p", preset="veryfast", crf=16)
            .global_args("-loglevel", "error", "-n")
            .compile(cmd=ffmpeg_command())
        )
        # A session of its own keeps Ctrl-C in the terminal from ending it before the last frames are written.
        return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)

"""Write video files frame by frame through ffmpeg."""

from pathlib import Path

import ffmpeg
import numpy as np

from utils.command import UserError
from utils.ffmpeg import Ffmpeg, FfmpegError, file_url, is_written


class Mp4Writer:
    """An H.264 video in an MP4 file.

    ffmpeg runs as a separate process and completes the file even if this process is killed.
    """

    def __init__(self, path: Path, frame_rate: float) -> None:
        """Prepare a new file `path` with `frame_rate` frames per second; ffmpeg starts with the first frame."""
        self.path = path
        self.frame_rate = frame_rate
        self._process: Ffmpeg | None = None

    def write(self, pixels: np.ndarray) -> None:
        """Append a frame, uint8 (H, W, 3), H and W even and the same for all frames.

        Raises:
            UserError: the frame cannot be written, or the file exists, which is then left unchanged.
        """
        if self._process is None:
            self._process = self._start(*pixels.shape[:2])
        try:
            self._process.write(pixels.tobytes())
        except BrokenPipeError as error:
            self.close()
            raise self._failure("it ended before the last frame") from error
        except FfmpegError as error:
            self._end()
            raise self._failure(str(error)) from error

    def close(self) -> None:
        """Finish the file.

        Raises:
            UserError: ffmpeg failed; the part that was written is kept.
        """
        if self._process is None:
            return
        try:
            code, reason = self._process.finish(), self._process.last_words
        except FfmpegError as error:
            code, reason = 1, str(error)
        self._end()
        if code or not is_written(self.path):
            self._remove_if_empty()
            raise self._failure(reason)

    def _start(self, height: int, width: int) -> Ffmpeg:
        stream = ffmpeg.input(
            "pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", framerate=self.frame_rate
        )
        encoded = stream.output(file_url(self.path), vcodec="libx264", pix_fmt="yuv420p", preset="veryfast", crf=16)
        self._create()
        return Ffmpeg(encoded.global_args("-loglevel", "error", "-y"), takes_input=True)

    def _end(self) -> None:
        assert self._process is not None
        self._process.close()
        self._process = None

    def _create(self) -> None:
        """Create the file exclusively before ffmpeg overwrites it: told not to overwrite, it may exit with code 0."""
        try:
            self.path.open("xb").close()
        except OSError as error:
            raise self._failure(str(error.strerror)) from error

    def _remove_if_empty(self) -> None:
        if not is_written(self.path):
            self.path.unlink(missing_ok=True)

    def _failure(self, reason: str) -> UserError:
        return UserError(f"{self.path}: ffmpeg could not write it ({reason}); free some space or choose another folder")

"""Small clips, encoded by ffmpeg: pictures of one colour each, or halves of two."""

import subprocess
from pathlib import Path

import numpy as np

from utils.ffmpeg_program import ffmpeg_command

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def ffmpeg(*arguments: str | Path, frames: np.ndarray | None = None) -> None:
    """Run ffmpeg, with frames (T, H, W, 4 or 3) on its standard input if there are any."""
    command = [ffmpeg_command(), "-loglevel", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, input=None if frames is None else frames.tobytes())


def encode(
    path: Path, frames: np.ndarray, *options: str | Path, frame_rate: float = 10, before: tuple[str, ...] = ()
) -> Path:
    """Write frames, uint8 (T, H, W, 3 or 4), without visible loss; `before` stands before the input."""
    _, height, width, channels = frames.shape
    raw = ("-f", "rawvideo", "-pix_fmt", "rgba" if channels == 4 else "rgb24", "-s", f"{width}x{height}")
    coding = options or ("-c:v", "libx264", "-crf", "1", "-pix_fmt", "yuv444p", "-g", "5")
    ffmpeg(*before, *raw, "-r", str(frame_rate), "-i", "pipe:", *coding, path, frames=frames)
    return path


def numbered(num_frames: int, width: int = 32, height: int = 16) -> np.ndarray:
    """Frames whose grey tells their number: 10, 15, 20, ..."""
    greys = 10 + 5 * np.arange(num_frames, dtype=np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (num_frames, height, width, 3)).copy()


def number_of(pixels: np.ndarray) -> int:
    """The number of a frame of `numbered`."""
    return round((float(pixels.mean()) - 10) / 5)


def quarters(width: int = 32, height: int = 16, num_frames: int = 3) -> np.ndarray:
    """Frames with red, green, blue and white quarters: top left, top right, bottom left, bottom right."""
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    middle, centre = height // 2, width // 2
    frames[:, :middle, :centre], frames[:, :middle, centre:] = RED, GREEN
    frames[:, middle:, :centre], frames[:, middle:, centre:] = BLUE, WHITE
    return frames


def corners(pixels: np.ndarray) -> list[tuple[int, ...]]:
    """The colours, each channel 0 or 255, near the corners: top left, top right, bottom left, bottom right."""
    rows, columns = len(pixels) // 8, pixels.shape[1] // 8
    places = [(y, x) for y in (rows, -1 - rows) for x in (columns, -1 - columns)]
    return [tuple(int(channel) for channel in (pixels[place] > 127) * 255) for place in places]

"""A match whose every frame tells which one it is, so that cutting can be checked frame by frame.

A frame is 64x48 pixels. Each of its quarters is 4x3 squares of 8x8 pixels, black or white, the bits of a label: two for
the match, two for the quarter, eight for the frame.
"""

from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import numpy as np
from PIL import Image

from utils.ffmpeg_program import ffmpeg_command

WIDTH, HEIGHT = 64, 48
FRAME_RATE = 25
NUM_FRAMES = 200
FRAMES_PER_KEYFRAME = 30
SEGMENT_SECONDS = 2.3
SEGMENT_FRAMES = 60
"""A segment ends at the first keyframe after 2.3 s, which is frame 60."""

QUARTERS = ((0, 0, 32, 24), (32, 0, 64, 24), (0, 24, 32, 48), (32, 24, 64, 48))
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Label:
    match: int
    quarter: int
    frame: int


def write_match(path: Path, match: int) -> None:
    """Encode a match as sites offer it: H.264 with B-frames and a keyframe every 30 frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.stack([_frame(match, frame) for frame in range(NUM_FRAMES)])
    pipe = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="gray", s=f"{WIDTH}x{HEIGHT}", framerate=FRAME_RATE)
    options = {"x264-params": f"keyint={FRAMES_PER_KEYFRAME}:min-keyint={FRAMES_PER_KEYFRAME}:scenecut=0:bframes=3"}
    output = pipe.output(f"file:{path}", vcodec="libx264", pix_fmt="yuv420p", crf=16, **options)
    output.global_args("-loglevel", "error").run(cmd=ffmpeg_command(), input=frames.tobytes())


def read_frames(path: Path, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """All frames of a video file, uint8 (frames, height, width, 3)."""
    frames = ffmpeg.input(f"file:{path}").filter("settb", "1/25").filter("setpts", "N")
    output = frames.output("pipe:", format="rawvideo", pix_fmt="rgb24", r=25)
    pixels, _ = output.global_args("-loglevel", "error").run(cmd=ffmpeg_command(), capture_stdout=True)
    return np.frombuffer(pixels, np.uint8).reshape(-1, height, width, 3)


def label_of(image: Image.Image) -> Label:
    """What the picture of a quarter says, at any size."""
    squares = np.asarray(image.convert("L").resize((4, 3), Image.Resampling.BOX), np.int64)
    assert np.minimum(squares, 255 - squares).max() < 64, "not one whole quarter"
    value = int("".join("1" if square > 127 else "0" for square in squares.ravel()), 2)
    return Label(match=value >> 10, quarter=value >> 8 & 3, frame=value & 255)


def labels_of(frames: np.ndarray, quarter: int = 0) -> list[Label]:
    """The labels in a quarter of whole frames, which may be of any size."""
    images = [Image.fromarray(frame).resize((WIDTH, HEIGHT), Image.Resampling.BOX) for frame in frames]
    return [label_of(image.crop(QUARTERS[quarter])) for image in images]


def _frame(match: int, frame: int) -> np.ndarray:
    pixels = np.empty((HEIGHT, WIDTH), np.uint8)
    for quarter, (left, top, right, bottom) in enumerate(QUARTERS):
        bits = f"{match << 10 | quarter << 8 | frame:012b}"
        squares = np.array([255 * int(bit) for bit in bits], np.uint8).reshape(3, 4)
        pixels[top:bottom, left:right] = np.kron(squares, np.ones((8, 8), np.uint8))
    return pixels

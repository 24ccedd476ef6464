"""Conversion between tensors and images, and writing of PNG and GIF files.

Dimensions: N images, H x W pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from utils.files import replacing

FRAME_MILLISECONDS = 150
"""Time for which an animation shows each frame, by default."""

VISIBLE_SIDE = 96
"""Minimum length of the longer side of a frame in a grid, in pixels; smaller frames are enlarged."""


def save_image(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 pixels (H, W, 3) atomically as a PNG file.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as file:
        Image.fromarray(pixels).save(file, format="png")


def grid(rows: list[Tensor], gap: int = 2) -> np.ndarray:
    """Arrange rows of frames in an image; small frames are enlarged by an integer factor.

    Args:
        rows: tensors (N, 3, H, W) in [-1, 1], all of one shape.
        gap: white pixels between frames.

    Returns:
        uint8 pixels (height, width, 3).
    """
    return tile(visible(to_uint8(torch.stack(rows)).movedim(2, -1).cpu().numpy()), gap)


def tile(frames: np.ndarray, gap: int = 2) -> np.ndarray:
    """Arrange frames uint8 (R, C, H, W, 3) in R rows and C columns with white gaps: uint8 (height, width, 3)."""
    padded = np.pad(frames, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    rows, columns, height, width = padded.shape[:4]
    return padded.swapaxes(1, 2).reshape(rows * height, columns * width, 3)[:-gap, :-gap]


def visible(frames: np.ndarray) -> np.ndarray:
    """Enlarge small frames (..., H, W, 3) by the integer factor that brings the longer side to `VISIBLE_SIDE`."""
    return enlarge(frames, -(-VISIBLE_SIDE // max(frames.shape[-3:-1])))


def enlarge(frames: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge frames (..., H, W, 3) by an integer factor with nearest-neighbour interpolation."""
    return frames.repeat(factor, axis=-3).repeat(factor, axis=-2)


def labelled(pixels: np.ndarray, label: str) -> np.ndarray:
    """Draw a label, unless it is empty, in the top left corner of an image uint8 (H, W, 3)."""
    image = Image.fromarray(pixels)
    if label:
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(size=max(12, pixels.shape[0] // 10))
        box = draw.textbbox((8, 4), label, font=font)
        draw.rectangle((box[0] - 5, box[1] - 4, box[2] + 5, box[3] + 4), fill="black")
        draw.text((8, 4), label, font=font, fill="white")
    return np.asarray(image)


def save_animation(path: Path, frames: np.ndarray, milliseconds: int = FRAME_MILLISECONDS) -> None:
    """Write uint8 frames (T, H, W, 3) as a looping GIF that shows each for some milliseconds.

    Raises:
        OSError: it cannot be written.
    """
    first, *others = (Image.fromarray(frame).quantize(dither=Image.Dither.NONE) for frame in frames)
    with replacing(path) as file:
        first.save(file, format="gif", save_all=True, append_images=others, duration=milliseconds, loop=0)


def all_labelled(frames: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Draw a label in each of some frames uint8 (N, H, W, 3)."""
    return np.stack([labelled(frame, label) for frame, label in zip(frames, labels, strict=True)])


def overlay(frames: Tensor, heat: Tensor) -> Tensor:
    """Tint frames (N, 3, H, W) in [-1, 1] red where a map (N, 1, h, w) in [0, 1] is high, and darken them elsewhere."""
    heat = functional.interpolate(heat, size=frames.shape[-2:], mode="nearest")
    red = frames.new_tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
    return torch.lerp(frames, red, 0.6 * heat) * (0.4 + 0.6 * heat) - 0.6 * (1 - heat)


def normalize(pixels: Tensor) -> Tensor:
    """Map uint8 pixels in 0..255 to float32 in [-1, 1], on the same device and in the same memory layout."""
    return pixels.to(torch.float32).div_(127.5).sub_(1)


def to_uint8(frames: Tensor) -> Tensor:
    """Map frames in [-1, 1] to the nearest uint8 pixels in 0..255; values outside the range are clamped."""
    return frames.float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)

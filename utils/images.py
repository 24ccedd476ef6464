"""Pictures of tensors.

Dimensions: N images, H x W pixels.
"""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from dataset.transforms import to_uint8


def save_image(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 pixels (H, W, 3) as a PNG file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        Image.fromarray(pixels).save(temporary, format="png")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def grid(rows: list[Tensor], gap: int = 2) -> np.ndarray:
    """Lay out rows of frames, one below the other.

    Args:
        rows: tensors (N, 3, H, W) in [-1, 1]; H may differ between rows, N and W may not.
        gap: white pixels between frames.

    Returns:
        uint8 pixels (height, width, 3).
    """
    lines = []
    for row in rows:
        padded = functional.pad(to_uint8(row), (0, gap, 0, gap), value=255)  # (N, 3, H + gap, W + gap)
        lines.append(padded.permute(2, 0, 3, 1).flatten(1, 2))
    return torch.cat(lines)[:-gap, :-gap].cpu().numpy()


def overlay(frames: Tensor, heat: Tensor) -> Tensor:
    """Tint frames (N, 3, H, W) in [-1, 1] red where a map (N, 1, h, w) in [0, 1] is high, and darken them elsewhere."""
    heat = functional.interpolate(heat, size=frames.shape[-2:], mode="nearest")
    red = frames.new_tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
    return torch.lerp(frames, red, 0.6 * heat) * (0.4 + 0.6 * heat) - 0.6 * (1 - heat)

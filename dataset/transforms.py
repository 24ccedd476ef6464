"""Cropping and resizing of stored frames to the model's input.

A box is [left, top, right, bottom] in pixels, right and bottom exclusive.

Dimensions: H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from utils.command import UserError


@dataclass(frozen=True)
class FrameTransform:
    """Crop of a frame to the box `crop`, then bilinear resize to `size` (width, height).

    Both are in pixels (docs/method.md#sequences, `data.crop` and `model.representation_network.target_input_size`).
    """

    crop: tuple[int, int, int, int]
    size: tuple[int, int]

    @classmethod
    def of(cls, crop: Sequence[int], size: Sequence[int]) -> "FrameTransform":
        """Create the transform from a box and a size as listed in a configuration."""
        left, top, right, bottom = crop
        width, height = size
        return cls((left, top, right, bottom), (width, height))

    def __call__(self, frame: Image.Image) -> np.ndarray:
        """Return the pixels uint8 (H, W, 3) of an RGB frame.

        Raises:
            UserError: the box extends beyond the frame.
        """
        left, top, right, bottom = self.crop
        if not (0 <= left < right <= frame.width and 0 <= top < bottom <= frame.height):
            raise UserError(
                f"data.crop {list(self.crop)} does not lie inside a frame of {frame.width}x{frame.height} pixels; "
                f"[0, 0, {frame.width}, {frame.height}] takes the whole frame"
            )
        if self.crop != (0, 0, *frame.size):
            frame = frame.crop(self.crop)
        if frame.size != self.size:
            frame = frame.resize(self.size, Image.Resampling.BILINEAR)
        return np.asarray(frame)

"""What every way to find the controlled thing offers (docs/method.md#movement).

Its movement is the difference between where it is in a frame and in the one before.

Dimensions: B sequences, T frames of each, D coordinates of a position, H x W pixels.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Tracker(Protocol):
    """Finds the thing that the actions move."""

    @property
    def unit(self) -> str:
        """What positions are counted in, such as "pixels"."""

    @property
    def sees_frames(self) -> bool:
        """Whether frames are enough: else generated frames, of which annotations say nothing, have no positions."""

    def positions(self, frames: np.ndarray, metadata: Sequence[Sequence[dict[str, Any]]], /) -> np.ndarray:
        """Where the thing is.

        Args:
            frames: uint8 (B, T, H, W, 3).
            metadata: what the annotations of each sequence say of each frame; empty dicts if nothing.

        Returns:
            float64 (B, T, D), NaN where the thing is not found.
        """

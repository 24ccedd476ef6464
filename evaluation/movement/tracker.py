"""The interface of the trackers that find the controlled object (docs/method.md#movement).

The object's movement is the difference of its positions in consecutive frames.

Dimensions: B sequences, T frames of each, D coordinates of a position, H x W pixels.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Tracker(Protocol):
    """Finds the object that the actions move."""

    @property
    def unit(self) -> str:
        """The unit of positions, such as "pixels"."""

    @property
    def rule(self) -> str:
        """How positions are found, in a few words, which the report says."""

    @property
    def sees_frames(self) -> bool:
        """Whether positions are found in frames, rather than read from annotations, which generated frames lack."""

    def positions(self, frames: np.ndarray, metadata: Sequence[Sequence[dict[str, Any]]], /) -> np.ndarray:
        """Return the positions of the object.

        Args:
            frames: uint8 (B, T, H, W, 3).
            metadata: annotated metadata of each frame of each sequence; empty dicts if there are none.

        Returns:
            float64 (B, T, D), NaN where the object is not found.
        """

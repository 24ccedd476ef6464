"""What every way to find the controlled thing offers (SPEC section 5, Movement).

Dimensions: B sequences, T frames of each, D coordinates of a position, H x W pixels.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Tracker(Protocol):
    """Finds the thing that the actions move. Positions are pixels of the frames that it is given."""

    def positions(self, frames: np.ndarray, metadata: Sequence[Sequence[dict[str, Any]]]) -> np.ndarray:
        """Where the thing is.

        Args:
            frames: uint8 (B, T, H, W, 3).
            metadata: what the annotations of each sequence say of each frame; empty dicts if nothing.

        Returns:
            float64 (B, T, D), NaN where the thing is not found.
        """

    def movements(self, frames: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """How the thing moves from each frame to the next.

        Args:
            frames: uint8 (B, T, H, W, 3).
            positions: (B, T, D), as found in these frames.

        Returns:
            float64 (B, T-1, D), NaN where that is unknown.
        """

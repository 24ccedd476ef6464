"""Position of BAIR's robot arm, from the annotations (docs/method.md#movement).

Dimensions: B sequences, T frames of each, D = 2 coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np


@dataclass(frozen=True)
class BairTracker:
    """Reads the position from the `state` [x, y, ...] in each frame's metadata."""

    unit: ClassVar[str] = "units of the state"
    rule: ClassVar[str] = "the state in the metadata"
    sees_frames: ClassVar[bool] = False

    def positions(self, _frames: np.ndarray, metadata: Sequence[Sequence[dict[str, Any]]], /) -> np.ndarray:
        """Return the positions, as `Tracker.positions`: float64 (B, T, 2), NaN where there is no state."""
        return np.array([[_position(entry) for entry in sequence] for sequence in metadata], np.float64)


def _position(metadata: dict[str, Any]) -> tuple[float, float]:
    try:
        x, y = metadata["state"][:2]
        return float(x), float(y)
    except (KeyError, TypeError, ValueError):
        return np.nan, np.nan

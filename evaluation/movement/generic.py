"""Position of the largest moving object in front of a static camera, for footage of any kind.

Pixels that differ from the background form connected regions, of which the one that differs most is tracked. In
Breakout this is the paddle. There, dense optical flow averaged over the moving pixels distinguishes left from right far
worse, since small objects jump further than they are wide.

Dimensions: B sequences, T frames of each, N frames, D = 2 coordinates (x, y), H x W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy import ndimage

LEAST_DIFFERENCE = 32
"""Minimum difference of a pixel from the background, in 0..255, in its most different channel; less is noise."""

_IN_FRAME = np.zeros((3, 3, 3), np.bool_)
_IN_FRAME[1] = True
"""Neighbourhood of pixels (T, H, W): within a frame, not across time."""


@dataclass(frozen=True)
class GenericTracker:
    """Finds the centre of the largest region that differs from the background."""

    unit: ClassVar[str] = "pixels"
    rule: ClassVar[str] = "the centre of the largest region that differs from the background"
    sees_frames: ClassVar[bool] = True

    scene: np.ndarray
    """int16 (H, W, 3): the median of true frames."""

    @classmethod
    def of(cls, frames: np.ndarray) -> Self:
        """Learn the scene from frames of true sequences, uint8 (N, H, W, 3)."""
        return cls(_median(frames, axis=0))

    def positions(self, frames: np.ndarray, _metadata: Sequence[Sequence[dict[str, Any]]], /) -> np.ndarray:
        """Return the positions, as `Tracker.positions`: float64 (B, T, 2), x and y in pixels, NaN if nothing moves."""
        return np.stack([_largest_regions(self._differences(sequence)) for sequence in frames])

    def _differences(self, frames: np.ndarray) -> np.ndarray:
        """Return the differences of a sequence (T, H, W, 3) from its background: (T, H, W), 0 for noise.

        Changes of brightness are removed first. The background of a pixel is the scene if the sequence ever shows it
        there, else the sequence's median: an object that rests for a while is no background, but a changed place is.
        """
        deviations = frames - self.scene
        deviations -= _median(deviations, axis=(1, 2))[:, np.newaxis, np.newaxis]
        shows_scene = (np.abs(deviations).max(axis=-1) <= LEAST_DIFFERENCE).any(axis=0)
        background = np.where(shows_scene[..., np.newaxis], 0, _median(deviations, axis=0))
        differences = np.abs(deviations - background).max(axis=-1)
        return np.where(differences > LEAST_DIFFERENCE, differences, 0)


def _median(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    return np.median(values, axis=axis).astype(np.int16)


def _largest_regions(differences: np.ndarray) -> np.ndarray:
    """Return the centre of the region with the largest sum of differences (T, H, W) per frame: (T, 2), NaN without one.

    In the sum, pixels weigh less the longer they differ, so that moving objects are tracked, not changed places.
    """
    regions, num_regions = ndimage.label(differences, _IN_FRAME)
    frame, y, x = np.nonzero(differences)
    region, weight = regions[frame, y, x] - 1, differences[frame, y, x]
    frame_of_region = np.zeros(num_regions, np.int64)
    frame_of_region[region] = frame
    brevity = 1 - (differences > 0).mean(axis=0)[y, x]
    sizes, sums, xs, ys = (
        np.bincount(region, weight * factor, num_regions) for factor in (brevity, 1, x + 0.5, y + 0.5)
    )
    by_size = np.argsort(sizes, kind="stable")
    centres = np.full((len(differences), 2), np.nan)
    centres[frame_of_region[by_size]] = (np.stack([xs, ys], axis=1) / sums[:, np.newaxis])[by_size]  # the largest wins
    return centres

"""The scene of true play: where nothing ever moves, and the whole picture, of which a tracker learns the background.

Dimensions: G sequences, T frames of each, H x W pixels.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from evaluation.movement.generic import GenericTracker
from evaluation.play.true_play import Stretch

LEAST_CHANGE = 16
"""Minimum difference from a sequence's first frame, in 0..255, of a pixel that moves; frames are first averaged over
3 x 3 pixels, so that the noise of cameras and films is no movement."""

SCENE_FRAMES = 200
"""Number of frames, at most, from which the tracker learns the scene."""


@dataclass(frozen=True)
class Scene:
    """What true play shows of a scene."""

    still: np.ndarray
    """bool (H, W): the pixels that no true sequence changes."""
    tracker: GenericTracker
    """Finds what moves in front of the scene."""

    @property
    def measured(self) -> np.ndarray:
        """The pixels whose sharpness is measured, bool (H, W): those that move; all, if none do."""
        has_moves = (~self.still[:-1, :-1]).any()
        return ~self.still if has_moves else np.ones_like(self.still)


class SceneObserver:
    """Collects a scene from groups of true sequences."""

    def __init__(self) -> None:
        """Start without frames."""
        self._moves: np.ndarray | None = None
        self._samples: list[np.ndarray] = []

    def watch(self, stretches: Iterable[Stretch]) -> Iterable[Stretch]:
        """Add the stretches of a group of sequences, and yield each."""
        first: np.ndarray | None = None
        for stretch in stretches:
            if first is None:
                first = _smoothed(stretch.frames[:, 0])
            self._add(first, stretch.frames)
            yield stretch

    def scene(self) -> Scene:
        """Return the scene of all frames that were added."""
        assert self._moves is not None, "no true frames were added"
        samples = np.stack(self._samples)
        rows = np.linspace(0, len(samples) - 1, min(SCENE_FRAMES, len(samples))).astype(int)
        return Scene(~self._moves, GenericTracker.of(samples[rows]))

    def _add(self, first: np.ndarray, frames: np.ndarray) -> None:
        for start, sequence in zip(first, frames, strict=True):
            smooth = _smoothed(sequence)
            moves = (np.abs(smooth - start) > LEAST_CHANGE).any(axis=(0, 3))
            self._moves = moves if self._moves is None else self._moves | moves
            self._samples.append(sequence[len(sequence) // 2])


def _smoothed(frames: np.ndarray) -> np.ndarray:
    """Average frames uint8 (N, H, W, 3) over 3 x 3 pixels: float32."""
    return ndimage.uniform_filter(frames.astype(np.float32), (0, 3, 3, 0), mode="nearest")

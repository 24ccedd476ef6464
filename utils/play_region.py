"""The part of a frame that is played: a box from which alone actions are inferred (`data.play_region`)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CELL = 8
"""Pixels of the model's frame along a side of a cell of the state."""


@dataclass(frozen=True)
class PlayRegion:
    """A box in pixels of the model's frame, in which its edges need not be whole numbers."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def scaled(cls, box: Sequence[int], crop: Sequence[int], size: Sequence[int]) -> "PlayRegion":
        """Return a box of the stored frame as it is after the frame was cropped and resized.

        Args:
            box: [left, top, right, bottom] in pixels of the stored frame.
            crop: the part of that frame that the model sees, likewise.
            size: [width, height] to which that part is resized.
        """
        width, height = size[0] / (crop[2] - crop[0]), size[1] / (crop[3] - crop[1])
        return cls(
            (box[0] - crop[0]) * width,
            (box[1] - crop[1]) * height,
            (box[2] - crop[0]) * width,
            (box[3] - crop[1]) * height,
        )

    @property
    def is_smaller_than_a_cell(self) -> bool:
        """Whether a side is shorter than that of a cell of the state."""
        return min(self.right - self.left, self.bottom - self.top) < CELL

    @property
    def pixels(self) -> tuple[slice, slice]:
        """The rows and the columns of all pixels that lie in the box, wholly or in part."""
        return _touched(self.top, self.bottom), _touched(self.left, self.right)

    def cell_shares(self, height: int, width: int) -> np.ndarray:
        """Return the share of each cell of a state (height, width) that lies in the box: float32, 0 to 1."""
        return np.outer(_shares(self.top, self.bottom, height), _shares(self.left, self.right, width))


def _touched(first: float, end: float) -> slice:
    return slice(int(np.floor(first)), int(np.ceil(end)))


def _shares(first: float, end: float, num_cells: int) -> np.ndarray:
    """The share of each cell along one axis that lies between two positions in pixels."""
    edges = CELL * np.arange(num_cells + 1, dtype=np.float32)
    return np.diff(np.clip(edges, first, end)) / CELL

"""What every reader of footage offers: videos that give their frames one by one.

A reader is a module of this folder with a function `find(path: Path) -> list[Source]`: the videos of its kind at a
path, in a fixed order, none if there is nothing of its kind. Nothing is decoded before frames are asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from utils.command import UserError


class SourceError(UserError):
    """A video that cannot be read, or not to its end. The message names it and what is wrong, in one line."""


@dataclass(frozen=True)
class Probe:
    """What is known of a video before it is decoded."""

    width: int  # pixels, as frames are delivered: rotation and the shape of pixels are applied
    height: int
    frame_rate: Fraction | None  # frames per second on average; None for what has no time, such as numbered pictures
    num_frames: int | None  # None where only decoding would tell


@dataclass(frozen=True)
class SourceFrame:
    """One frame, and what the source knows about it."""

    pixels: np.ndarray
    """RGB, uint8 (H, W, 3), the same size in all frames of a video."""
    action: int | None = None
    """The action taken at the frame, if the source has discrete actions."""
    metadata: dict[str, Any] | None = None
    """JSON values, such as a continuous `action` or a `state`."""


class Source(Protocol):
    """One video."""

    @property
    def name(self) -> str:
        """Unique among the videos of one `find`, and the same every time; fit for messages."""

    def probe(self) -> Probe:
        """Look at the video without decoding it.

        Raises:
            SourceError: it cannot be read.
        """

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames in order.

        Raises:
            SourceError: they cannot be read on; frames yielded before are intact.
        """

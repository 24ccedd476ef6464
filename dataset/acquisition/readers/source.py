"""Interface of readers of footage: videos that yield their frames one by one.

A reader is a module of this folder with a function `find(path: Path) -> list[Source]`, which returns the videos of its
kind at a path in a fixed order, or an empty list. Nothing is decoded before frames are requested.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from utils.command import UserError


class SourceError(UserError):
    """A video that cannot be read, or not to its end.

    The message names the video and the problem in one line.
    """


@dataclass(frozen=True)
class Probe:
    """Properties of a video known before decoding."""

    width: int
    """In pixels, as frames are delivered: after rotation and conversion to square pixels."""
    height: int
    """In pixels, as `width`."""
    frame_rate: Fraction | None
    """Average frames per second; None for sources without time, such as numbered images."""
    num_frames: int | None
    """None if it can only be known by decoding."""


@dataclass(frozen=True)
class SourceFrame:
    """One frame with its annotations in the source."""

    pixels: np.ndarray
    """RGB uint8 (H, W, 3), of the same size in all frames of a video."""
    action: int | None = None
    """The action taken at the frame, if the source has discrete actions."""
    metadata: dict[str, Any] | None = None
    """JSON values, such as a continuous `action` or a `state`."""
    follows_gap: bool = False
    """Whether frames before it are missing, so that it begins a new video."""


class Source(Protocol):
    """One video."""

    @property
    def name(self) -> str:
        """Printable name, unique among the videos of one `find` and the same every time."""

    def probe(self) -> Probe:
        """Read the properties of the video without decoding all of it.

        Raises:
            SourceError: it cannot be read.
        """

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames in order.

        Raises:
            SourceError: the next frame cannot be read; frames yielded before are intact.
        """

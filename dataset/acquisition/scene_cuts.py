"""Detection of hard scene cuts in videos.

Frames are compared as thumbnails, in which noise and small movements vanish. There is a cut before frame t if both
frames before it differ from both t and t + 1 by much more than consecutive frames differ nearby, so that neither a
flash nor a fast pan counts as a cut. Scenes of a single frame are not detected.
A scene ends where frames are missing.
"""

import statistics
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dataset.acquisition.readers.source import SourceFrame

_THUMBNAIL_SIZE = (16, 16)

_MIN_DIFFERENCE = 0.06
"""Minimum mean absolute difference (0 to 1) between thumbnails at a cut, however static the video is."""

_MIN_RATIO = 2.2
"""Minimum ratio of the difference at a cut to that of consecutive frames: the median before it, and right after it."""

_NUM_BEFORE = 8
"""Number of differences between consecutive frames in the median."""


@dataclass(frozen=True)
class SceneFrame:
    """A frame and the number of its scene, from 0."""

    frame: SourceFrame
    scene: int


@dataclass(frozen=True)
class _Seen:
    frame: SourceFrame
    thumbnail: np.ndarray

    def difference(self, other: "_Seen") -> float:
        return float(np.abs(self.thumbnail - other.thumbnail).mean())


def number_scenes(frames: Iterable[SourceFrame]) -> Iterator[SceneFrame]:
    """Yield each frame with the number of its scene, reading one frame ahead."""
    before: deque[_Seen] = deque(maxlen=2)
    changes: deque[float] = deque([0.0], maxlen=_NUM_BEFORE)
    scene = 0
    for seen, following in _with_following(map(_see, frames)):
        if before:
            difference = min(old.difference(new) for old in before for new in (seen, following))
            usual = max(statistics.median(changes), following.difference(seen))
            scene += seen.frame.follows_gap or difference > max(_MIN_DIFFERENCE, _MIN_RATIO * usual)
            changes.append(seen.difference(before[-1]))
        before.append(seen)
        yield SceneFrame(seen.frame, scene)


def number_parts(frames: Iterable[SourceFrame]) -> Iterator[SceneFrame]:
    """Yield each frame with a number that changes where frames are missing, whatever the frames show."""
    part = 0
    for frame in frames:
        part += frame.follows_gap
        yield SceneFrame(frame, part)


def _see(frame: SourceFrame) -> _Seen:
    thumbnail = Image.fromarray(frame.pixels).resize(_THUMBNAIL_SIZE, Image.Resampling.BOX)
    return _Seen(frame, np.asarray(thumbnail, np.float32) / 255)


def _with_following(items: Iterator[_Seen]) -> Iterator[tuple[_Seen, _Seen]]:
    """Yield each item with its successor; the last with itself."""
    item = next(items, None)
    if item is None:
        return
    for following in items:
        yield item, following
        item = following
    yield item, item

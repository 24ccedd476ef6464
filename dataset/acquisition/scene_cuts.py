"""Where one scene of a video ends and another begins, without a cross-fade.

Frames are compared as thumbnails, in which noise and small movements vanish. A cut lies before frame t if both frames
before it differ from both t and t + 1, by much more than consecutive frames differ nearby: neither a flash nor a fast
pan is a cut. Scenes of a single frame are not told apart.
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
"""Less than this mean absolute difference (0 to 1) between thumbnails is no cut, however still the video is."""

_MIN_RATIO = 2.2
"""A cut differs by this many times as much as consecutive frames do before it, in the median, and right after it."""

_NUM_BEFORE = 8
"""Changes from frame to frame that the median is taken of."""


@dataclass(frozen=True)
class SceneFrame:
    """A frame and the number, from 0, of the scene it belongs to."""

    frame: SourceFrame
    scene: int


@dataclass(frozen=True)
class _Seen:
    frame: SourceFrame
    thumbnail: np.ndarray

    def difference(self, other: "_Seen") -> float:
        return float(np.abs(self.thumbnail - other.thumbnail).mean())


def number_scenes(frames: Iterable[SourceFrame]) -> Iterator[SceneFrame]:
    """Tell the scene of each frame. One frame more is read than is given, two are kept."""
    before: deque[_Seen] = deque(maxlen=2)
    changes: deque[float] = deque([0.0], maxlen=_NUM_BEFORE)
    scene = 0
    for seen, following in _with_following(map(_see, frames)):
        if before:
            difference = min(old.difference(new) for old in before for new in (seen, following))
            usual = max(statistics.median(changes), following.difference(seen))
            scene += difference > max(_MIN_DIFFERENCE, _MIN_RATIO * usual)
            changes.append(seen.difference(before[-1]))
        before.append(seen)
        yield SceneFrame(seen.frame, scene)


def _see(frame: SourceFrame) -> _Seen:
    thumbnail = Image.fromarray(frame.pixels).resize(_THUMBNAIL_SIZE, Image.Resampling.BOX)
    return _Seen(frame, np.asarray(thumbnail, np.float32) / 255)


def _with_following(items: Iterator[_Seen]) -> Iterator[tuple[_Seen, _Seen]]:
    """Each item with the one after it; the last with itself."""
    item = next(items, None)
    if item is None:
        return
    for following in items:
        yield item, following
        item = following
    yield item, item

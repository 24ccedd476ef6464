"""Datasets of observation sequences from videos (docs/method.md#sequences).

Dimensions: B sequences, T observations in a sequence, S stacked frames in an observation (`observation_stacking`), H
height, W width.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Dataset

from dataset.annotations import Annotations
from dataset.frame_cache import open_frames
from dataset.labels import labels_of
from dataset.transforms import FrameTransform
from dataset.video import Video
from utils.command import UserError, tell
from utils.configuration import Cache

UNKNOWN_POSITION = (math.nan, math.nan)


class SequenceKey(NamedTuple):
    """Key of a sequence: index of the video, frame of the first observation, and number of observations T."""

    video: int
    first_frame: int
    observations_count: int


@dataclass(frozen=True)
class Samples:
    """B sequences of equal length; frames of overlapping stacks are stored once."""

    keys: Sequence[SequenceKey]
    frames: np.ndarray
    """uint8 (B, T+S-1, H, W, 3), oldest first: observation t stacks the frames t to t+S-1."""
    actions: np.ndarray
    """int64 (B, T)."""
    rewards: np.ndarray
    """float32 (B, T)."""
    dones: np.ndarray
    """bool (B, T)."""
    positions: np.ndarray | None
    """float32 (B, T, 2): x, y as in the metadata, NaN where unknown; None if unknown in the whole dataset."""
    labels: np.ndarray | None = None
    """int64 (B, T): the actions that are known, -1 for others (`dataset.labels`); None if no frame has a label."""


class VideoDataset(Dataset[Samples]):
    """All sequences of a list of videos.

    A sequence of T observations starts at any frame for which T + (T-1) * `skip_frames` frames remain. Observation t is
    the frame first + t * (skip_frames + 1); its stack reaches back by the same stride and, at the start of the video,
    repeats the earliest frame reached. Sequences of any length can be read at any time, since the length is part of the
    key.

    Attributes:
        knows_actions: whether the true actions of all videos are known.
        is_decoded: whether all frames are cached.
        labels: the label of each frame, int64, -1 without one; None if no frame has a label (`dataset.labels`).
    """

    def __init__(
        self,
        videos: Sequence[Video],
        *,
        crop: Sequence[int],
        size: Sequence[int],
        observations_count: int,
        skip_frames: int = 0,
        observation_stacking: int = 1,
        cache: Cache = "none",
    ) -> None:
        """Index the videos and, with a `cache`, decode all their frames once.

        Args:
            videos: the videos of one split.
            crop: box [left, top, right, bottom] to crop each frame to, in pixels.
            size: frame size [width, height] to resize to, in pixels.
            observations_count: the largest T that will be requested; a warning lists the videos too short for it.
            skip_frames: number of frames to skip between two observations.
            observation_stacking: number of frames S in an observation.
            cache: where decoded frames are kept (see `dataset.frame_cache`).

        Raises:
            UserError: all videos are too short, or as `dataset.frame_cache.open_frames`.
            VideoError: as `dataset.frame_cache.open_frames`.
        """
        self.stride = skip_frames + 1
        self.observation_stacking = observation_stacking
        self.is_decoded = cache != "none"
        self.videos = videos
        self._lengths = np.array([video.num_frames for video in videos])
        self._first_rows = [0, *np.cumsum(self._lengths).tolist()]
        self._sequence_ends: dict[int, list[int]] = {}
        self._check_lengths(observations_count)

        annotations = [video.annotations for video in videos]
        self.knows_actions = all(video.actions_are_known for video in annotations)
        columns = zip(*map(_annotation_arrays, annotations), strict=True)
        self._actions, self._rewards, self._dones, positions = map(np.concatenate, columns)
        self._positions = None if np.isnan(positions).all() else positions
        self.labels = labels_of(annotations)
        self._frames = open_frames(videos, FrameTransform.of(crop, size), cache)

    @property
    def num_frames(self) -> int:
        """Number of frames in all videos; a *row* numbers them from 0, video after video."""
        return self._first_rows[-1]

    def span(self, observations_count: int) -> int:
        """Return the number of frames that a sequence of T observations spans, from its first to its last."""
        return (observations_count - 1) * self.stride + 1

    def num_sequences(self, observations_count: int) -> int:
        """Return the number of sequences of T observations."""
        return self._ends(observations_count)[-1]

    def sequence(self, index: int, observations_count: int) -> SequenceKey:
        """Return the sequence number `index` (0 to `num_sequences` - 1), ordered by video, then by first frame."""
        ends = self._ends(observations_count)
        if not 0 <= index < ends[-1]:
            raise IndexError(f"sequence {index} of {ends[-1]}")
        video = bisect_right(ends, index)
        return SequenceKey(video, index - (ends[video - 1] if video else 0), observations_count)

    def true_actions(self) -> Iterable[tuple[str, Iterable[int] | None]]:
        """Yield each video's path and the true actions that occur in it; None where some are unknown."""
        for video in self.videos:
            annotations = video.annotations
            yield str(video.path), set(annotations.actions) if annotations.actions_are_known else None

    def frames_ahead(self) -> np.ndarray:
        """Return for each row the number of remaining frames of its video, itself included: int64 (num_frames)."""
        return np.repeat(self._first_rows[1:], self._lengths) - np.arange(self.num_frames)

    def sequence_at(self, row: int, observations_count: int) -> SequenceKey:
        """Return the sequence of T observations that starts at a row."""
        video = bisect_right(self._first_rows, row) - 1
        return SequenceKey(video, row - self._first_rows[video], observations_count)

    def __getitem__(self, keys: Sequence[SequenceKey]) -> Samples:
        """Read sequences of equal length.

        Raises:
            VideoError: a frame cannot be read.
            UserError: the crop extends beyond a frame.
        """
        videos, first_frames, (observations_count, *_) = zip(*keys, strict=True)
        times = np.arange(1 - self.observation_stacking, observations_count)
        earliest = -(np.array(first_frames) // self.stride)
        first_rows = np.array([self._first_rows[video] for video in videos]) + first_frames
        frame_rows = first_rows[:, None] + np.maximum(times, earliest[:, None]) * self.stride
        rows = first_rows[:, None] + np.arange(observations_count) * self.stride
        frames = self._frames.read(frame_rows.ravel())
        return Samples(
            keys=keys,
            frames=frames.reshape(*frame_rows.shape, *frames.shape[1:]),
            actions=self._actions[rows],
            rewards=self._rewards[rows],
            dones=self._dones[rows],
            positions=None if self._positions is None else self._positions[rows],
            labels=None if self.labels is None else self.labels[rows],
        )

    def _ends(self, observations_count: int) -> list[int]:
        """Return the cumulative number of sequences at each video, itself included."""
        if observations_count not in self._sequence_ends:
            counts = np.maximum(self._lengths - self.span(observations_count) + 1, 0)
            self._sequence_ends[observations_count] = np.cumsum(counts).tolist()
        return self._sequence_ends[observations_count]

    def _check_lengths(self, observations_count: int) -> None:
        needed = self.span(observations_count)
        short = self._lengths[self._lengths < needed]
        if not len(short):
            return
        folder = self.videos[0].path.parent
        lengths = f"{short.min()} to {short.max()}" if short.min() < short.max() else f"{short.min()}"
        reason = (
            f"have {lengths} frames, but {observations_count} observations with skip_frames {self.stride - 1} "
            f"span {needed}"
        )
        if len(short) == len(self.videos):
            raise UserError(
                f"{folder}: all {len(short)} videos are too short: they {reason}; "
                f"lower observations_count or skip_frames, or add longer videos"
            )
        names = [video.path.name for video in self.videos if video.num_frames < needed]
        listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        tell(
            f"warning: {folder}: {len(short)} of {len(self.videos)} videos are too short and skipped ({listed}): they "
            f"{reason}"
        )


def _annotation_arrays(annotations: Annotations) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return actions, rewards, dones and positions, one per frame, in the types of `Samples`."""
    return (
        np.array(annotations.actions, np.int64),
        np.array(annotations.rewards, np.float32),
        np.array(annotations.dones, np.bool_),
        np.array([_position(metadata) for metadata in annotations.metadata], np.float32),
    )


def _position(metadata: dict[str, Any]) -> tuple[float, float]:
    """Return the position in a frame's metadata: `agent_position`, else the first two values of `state`, else NaN."""
    value: Any = metadata.get("agent_position", metadata.get("state"))
    if value is None:
        return UNKNOWN_POSITION
    try:
        x, y = value[:2]
        return float(x), float(y)
    except (TypeError, ValueError):
        return UNKNOWN_POSITION

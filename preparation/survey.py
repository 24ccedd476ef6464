"""Choices made from a converted data set: the distance between observations, and the number of actions."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.splits import SPLITS, find_split_videos
from dataset.video import Video
from preparation.choices import Choice
from utils.command import UserError

MIN_OBSERVATIONS = 4
"""Minimum number of observations in a sequence for training."""

PUBLISHED_OBSERVATIONS = 7
"""Observations in the sequences at the start of training, as published (docs/method.md#schedules)."""

MAX_STRIDE = 8
"""Maximum number of frames from one observation to the next."""

VISIBLE_CHANGE = 24
"""A pixel changes visibly if a channel, 0 to 255, changes by more than this; compression mostly changes it less."""

MOVING_SHARE = 0.0005
"""Share of pixels that change visibly when a small object moves, such as the ball of a game."""

NUM_COMPARED_FRAMES = 64

DEFAULT_ACTIONS = Choice(5, "to discover: enough to move left, right, up and down and to stay; the paper has 3 to 7")


@dataclass(frozen=True)
class Survey:
    """Properties of a converted data set."""

    num_videos: dict[str, int]
    """Number of videos by split."""
    num_frames: int
    num_bytes: int
    """Size of its files."""
    usable_length: int
    """At least half of the frames of each split are in videos with at least this number of frames."""
    true_actions: frozenset[int] | None
    """All true actions that occur; None unless every frame has one."""
    moving_shares: list[float]
    """Median shares of pixels that change visibly between frames 1, 2, ... apart."""

    def fitting_observations(self, skip_frames: int) -> int:
        """Return the number of observations with `skip_frames` frames between them that fit into the usable length."""
        return (self.usable_length - 1) // (skip_frames + 1) + 1


def survey(data_root: Path) -> Survey:
    """Measure the videos of all splits.

    Raises:
        UserError: a split has no videos, or most of its videos are too short to train on.
    """
    videos = {split: [Video(path) for path in find_split_videos(data_root, split)] for split in SPLITS}
    actions: set[int] = set()
    actions_are_known = True
    for annotations in (video.annotations for split in SPLITS for video in videos[split]):
        actions.update(annotations.actions)
        actions_are_known = actions_are_known and annotations.actions_are_known
    lengths = {split: [video.num_frames for video in videos[split]] for split in SPLITS}
    usable_length = min(statistics.median_high(np.repeat(lengths[split], lengths[split]).tolist()) for split in SPLITS)
    if usable_length < MIN_OBSERVATIONS:
        raise UserError(
            f"{data_root}: most frames of a split are in videos of at most {usable_length} frames, and training needs "
            f"{MIN_OBSERVATIONS}; give longer videos"
        )
    return Survey(
        num_videos={split: len(videos[split]) for split in SPLITS},
        num_frames=sum(sum(lengths[split]) for split in SPLITS),
        num_bytes=sum(file.stat().st_size for file in data_root.rglob("*") if file.is_file()),
        usable_length=usable_length,
        true_actions=frozenset(actions) if actions_are_known else None,
        moving_shares=measure_motion(videos["train"], _max_stride(usable_length)),
    )


def measure_motion(videos: Sequence[Video], max_stride: int) -> list[float]:
    """Return the shares of pixels that change visibly from a frame to the 1st, 2nd, ... `max_stride`-th after it.

    Each share is a median over frames spread evenly over all videos.
    """
    rows = [(video, first) for video in videos for first in range(video.num_frames - max_stride)]
    num_compared = min(len(rows), NUM_COMPARED_FRAMES)
    sample = [rows[index * len(rows) // num_compared] for index in range(num_compared)]
    shares = [_changing_shares(video, first, max_stride) for video, first in sample]
    return np.median(shares, axis=0).tolist()


def _changing_shares(video: Video, first: int, max_stride: int) -> np.ndarray:
    """Return the shares of pixels that change visibly from the frame `first` to each one after it: (max_stride,)."""
    frames = np.stack([np.asarray(video.frame(first + step), np.int16) for step in range(max_stride + 1)])
    return (np.abs(frames[1:] - frames[0]).max(axis=-1) > VISIBLE_CHANGE).mean(axis=(1, 2))


def _max_stride(usable_length: int) -> int:
    """Return the largest distance between observations, at least 1, with which a published sequence fits."""
    return max(1, min(MAX_STRIDE, (usable_length - 1) // (PUBLISHED_OBSERVATIONS - 1)))


def choose_skip_frames(moving_shares: Sequence[float]) -> Choice:
    """Choose the number of frames to skip between observations: the fewest with which something moves visibly.

    Args:
        moving_shares: see `Survey`.
    """
    for skip_frames, share in enumerate(moving_shares):
        if share >= MOVING_SHARE:
            return Choice(skip_frames, f"the fewest with which things move: {share:.2%} of a frame changes visibly")
    return Choice(
        len(moving_shares) - 1,
        f"as many as the videos allow: hardly anything moves, {moving_shares[-1]:.2%} of a frame changes visibly",
    )


def choose_actions_count(survey: Survey, wanted: int | None) -> Choice:
    """Choose the number of actions to discover: as the user wants, else as many as the true ones, else the default."""
    if wanted is not None:
        return Choice(wanted, "to discover, as asked for with --actions")
    if survey.true_actions is not None and len(survey.true_actions) > 1:
        return Choice(max(survey.true_actions) + 1, "to discover: as many as the footage comes with")
    return DEFAULT_ACTIONS

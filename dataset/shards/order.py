"""Random order of shards and their sequences, determined by the seed and the step alone.

An epoch is a random order of all shards, divided among the ranks. A rank reads its part in windows: groups of shards
whose sequences are shuffled together. Windows are numbered from 0 through all epochs.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dataset.shards.split import ShardedSplit
from dataset.video_dataset import SequenceKey


@dataclass(frozen=True)
class ShardOrder:
    """Order of the windows of one rank."""

    num_shards: int
    window_size: int
    """Number of shards in a window; the last window of an epoch may have fewer."""
    seed: int
    rank: int = 0
    num_ranks: int = 1

    def windows(self, first: int = 0) -> Iterator[list[int]]:
        """Yield the shards of each window from number `first` on, endlessly."""
        return itertools.islice(self._windows(), first, None)

    def random(self, window: int) -> np.random.Generator:
        """Return the random generator that shuffles the sequences of a window."""
        return np.random.default_rng((self.seed, self.rank, window))

    def _windows(self) -> Iterator[list[int]]:
        for epoch in itertools.count():
            order = np.random.default_rng((self.seed, epoch)).permutation(self.num_shards)
            shards = order[self.rank :: self.num_ranks].tolist()
            for first in range(0, len(shards), self.window_size):
                yield shards[first : first + self.window_size]


@dataclass(frozen=True)
class PlannedBatch:
    """Sequences of a batch, and the numbers of the first and last window that they come from."""

    keys: list[SequenceKey]
    first_window: int
    last_window: int


class SequenceWalk:
    """Iteration over the windows that takes each window's sequences in random order, each once.

    When the length T changes, it continues in the same window, skipping starts too close to a clip's end. `window` is
    the number of the current one.
    """

    def __init__(self, split: ShardedSplit, order: ShardOrder) -> None:
        self._split = split
        self._order = order
        self._windows = enumerate(order.windows())
        self._observations_count = 1
        self._fitting: np.ndarray
        self._begin_window(*next(self._windows))

    def take(self, count: int, observations_count: int) -> PlannedBatch:
        """Return the next `count` sequences of T observations."""
        self._require(observations_count)
        self._find_sequences()
        first_window = self.window
        keys: list[SequenceKey] = []
        while len(keys) < count:
            self._find_sequences()
            taken, self._fitting = np.split(self._fitting, [count - len(keys)])
            starts = zip(self._clips[taken].tolist(), self._frames[taken].tolist(), strict=True)
            keys += [SequenceKey(clip, frame, observations_count) for clip, frame in starts]
            self._num_passed = int(taken[-1]) + 1
        return PlannedBatch(keys, first_window, self.window)

    def skip(self, count: int, observations_count: int) -> None:
        """Advance as `take` would, without shuffling the windows in between."""
        self._require(observations_count)
        if count > len(self._fitting):
            count -= len(self._fitting)
            num_sequences = self._split.num_sequences(observations_count)
            for window, shards in self._windows:
                if count <= (found := int(num_sequences[shards].sum())):
                    self._begin_window(window, shards)
                    break
                count -= found
        self.take(count, observations_count)

    def _find_sequences(self) -> None:
        """Begin the next window that has sequences, unless the current one has some left."""
        while not len(self._fitting):
            self._begin_window(*next(self._windows))

    def _begin_window(self, window: int, shards: list[int]) -> None:
        clips, frames = self._split.starts(shards)
        order = self._order.random(window).permutation(len(clips))
        self.window = window
        self._clips, self._frames = clips[order], frames[order]
        self._num_passed = 0
        self._find_fitting()

    def _require(self, observations_count: int) -> None:
        if observations_count != self._observations_count:
            self._observations_count = observations_count
            self._find_fitting()

    def _find_fitting(self) -> None:
        """Find the remaining positions in this window's order that have enough frames ahead."""
        ahead = self._split.lengths[self._clips] - self._frames
        fits = ahead >= self._split.span(self._observations_count)
        fits[: self._num_passed] = False
        self._fitting = np.flatnonzero(fits)

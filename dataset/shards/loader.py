"""Training batches of a data set in shards: streamed, shuffled, and resumable at any step.

Dimensions: T observations in a sequence.
"""

import itertools
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from dataset.batching import Batch, make_loader
from dataset.labels import UNLABELLED
from dataset.shards.local import default_directory, lock_folder
from dataset.shards.order import SequenceWalk, ShardOrder
from dataset.shards.prefetch import ShardCache
from dataset.shards.split import ShardedSplit
from dataset.video_dataset import Samples, SequenceKey, VideoDataset
from utils.command import UserError


class ShardedLoader:
    """Endless loader of training batches, determined by the seed and the step alone.

    An epoch visits every sequence once, over all ranks. Half of the local shards are shuffled together while the other
    half is downloaded. A batch may begin in one window of shards, or one epoch, and end in the next.
    """

    def __init__(
        self,
        split: ShardedSplit,
        batch_size: int,
        observations_count: Callable[[int], int],
        seed: int,
        first_step: int = 1,
        *,
        num_workers: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
        num_ranks: int = 1,
        local_shards: int = 8,
        directory: Path | None = None,
    ) -> None:
        """Prepare the batches of the steps `first_step`, `first_step` + 1, ...

        Args:
            split: the sequences to draw from.
            batch_size: number of sequences in a batch over all ranks; a multiple of `num_ranks`.
            observations_count: schedule of the sequence length T, by step.
            seed: seed of the random orders.
            first_step: step of the first batch; batches are the same as in a run that started at step 1.
            num_workers: number of processes that read batches, as in `dataset.batching.make_loader`.
            device: device the batches are for; for CUDA they are in pinned memory.
            rank: which part of each epoch's shards to read.
            num_ranks: number of parts.
            local_shards: number of shards that each rank keeps on disk, at least 2; it affects the order.
            directory: folder of the local shards (default: `default_directory`).

        Raises:
            UserError: there are fewer shards than ranks.
        """
        split.require_shards(num_ranks)
        self.split = split
        self.batch_size = batch_size // num_ranks
        self.observations_count = observations_count
        self.first_step = first_step
        self.num_workers = num_workers
        self.device = device
        self.local_shards = local_shards
        self.directory = directory or default_directory()
        self._order = ShardOrder(len(split.shards), local_shards // 2, seed, rank, num_ranks)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches.

        Raises:
            UserError, OSError: a shard cannot be downloaded or a frame cannot be read.
        """
        walk = self._walk_to_first_step()
        first_window = walk.window
        windows = self._order.windows(first_window)
        being_read: deque[int] = deque()  # the first window of each batch that is being read
        failure: UserError | OSError | None = None

        def plan() -> Iterator[list[SequenceKey]]:
            nonlocal failure
            for step in itertools.count(self.first_step):
                batch = walk.take(self.batch_size, self.observations_count(step))
                being_read.append(batch.first_window - first_window)
                try:
                    cache.require(being_read[0], batch.last_window - first_window)
                except (UserError, OSError) as error:
                    failure = error  # to be raised after the batches before it
                    return
                yield batch.keys

        with (
            lock_folder(self.directory) as folder,
            ShardCache(self.split, windows, folder, self.local_shards) as cache,
        ):
            reader = _LocalShards(self.split, folder)
            for batch in make_loader(reader, plan(), self.num_workers, self.device):
                being_read.popleft()
                yield batch
            assert failure, "the plan has no other end"
            raise failure

    def _walk_to_first_step(self) -> SequenceWalk:
        walk = SequenceWalk(self.split, self._order)
        for length, steps in itertools.groupby(range(1, self.first_step), key=self.observations_count):
            walk.skip(self.batch_size * sum(1 for _ in steps), length)
        return walk


class _LocalShards(Dataset[Samples]):
    """Reads sequences from the shards in a folder, in which all required shards are present."""

    def __init__(self, split: ShardedSplit, folder: Path) -> None:
        self._split = split
        self._folder = folder
        self._opened: dict[int, VideoDataset] = {}
        self.is_decoded = split.is_decoded

    def __getitem__(self, keys: Sequence[SequenceKey]) -> Samples:
        """Read sequences of equal length.

        Raises:
            UserError: a frame cannot be read.
        """
        self._close_removed()
        positions: defaultdict[int, list[int]] = defaultdict(list)
        for position, key in enumerate(keys):
            positions[self._split.shard_of(key.video)].append(position)
        parts = [self._read(shard, [keys[at] for at in positions[shard]]) for shard in positions]
        return parts[0] if len(parts) == 1 else _joined(keys, list(positions.values()), parts)

    def _read(self, shard: int, keys: Sequence[SequenceKey]) -> Samples:
        """Read sequences from one shard."""
        first_clip = int(self._split.first_clips[shard])
        with self._split.naming(shard):
            if shard not in self._opened:
                self._opened[shard] = self._split.open_shard(shard, self._folder)
            samples = self._opened[shard][[key._replace(video=key.video - first_clip) for key in keys]]
        return replace(samples, keys=keys)

    def _close_removed(self) -> None:
        """Close shards that were removed, since only this frees their disk space."""
        self._opened = {
            shard: opened
            for shard, opened in self._opened.items()
            if (self._folder / self._split.shards[shard].sha256).is_dir()
        }


def _joined(keys: Sequence[SequenceKey], positions: list[list[int]], parts: list[Samples]) -> Samples:
    """Join sequences of several shards, each at its position in the batch."""

    def join(arrays: Sequence[np.ndarray]) -> np.ndarray:
        joined = np.empty((len(keys), *arrays[0].shape[1:]), arrays[0].dtype)
        for at, array in zip(positions, arrays, strict=True):
            joined[at] = array
        return joined

    def join_known(arrays: Sequence[np.ndarray | None], unknown: np.ndarray) -> np.ndarray | None:
        if all(array is None for array in arrays):
            return None
        return join([unknown if array is None else array for array in arrays])

    length = keys[0].observations_count
    return Samples(
        keys=keys,
        frames=join([part.frames for part in parts]),
        actions=join([part.actions for part in parts]),
        rewards=join([part.rewards for part in parts]),
        dones=join([part.dones for part in parts]),
        positions=join_known([part.positions for part in parts], np.full((1, length, 2), np.nan, np.float32)),
        labels=join_known([part.labels for part in parts], np.full((1, length), UNLABELLED, np.int64)),
    )

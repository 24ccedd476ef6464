"""Batches of sequences: their contents, their order, and the loader that reads them (docs/method.md#optimisation).

Dimensions: B batch, T observations in a sequence, S stacked frames in an observation, C = 3 channels, H height, W
width.
"""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from dataset.video_dataset import Samples, SequenceKey, VideoDataset
from utils.command import UserError
from utils.images import normalize
from utils.processes import end_with_parent

BATCHES_AHEAD = 2
"""Number of batches that the reader thread prefetches."""


@dataclass(frozen=True)
class Batch:
    """Batch of sequences of equal length.

    Frames stay uint8, and each is stored once, until `observations` stacks them on the device.
    """

    keys: Sequence[SequenceKey]
    frames: Tensor
    """uint8 (B, T+S-1, C, H, W), oldest first, channels last in memory."""
    actions: Tensor
    """int64 (B, T): the action taken at each observation, 0 where unknown."""
    rewards: Tensor
    """float32 (B, T)."""
    dones: Tensor
    """bool (B, T)."""
    positions: Tensor | None
    """float32 (B, T, 2): x, y as in the metadata, NaN where unknown; None if unknown in the whole dataset."""
    labels: Tensor | None = None
    """int64 (B, T): the actions that are known, -1 for others; None if no frame has a label."""

    @classmethod
    def of(cls, samples: Samples) -> Self:
        """Create a batch that shares the memory of `samples`."""
        return cls(
            keys=samples.keys,
            frames=torch.from_numpy(samples.frames).movedim(-1, 2),
            actions=torch.from_numpy(samples.actions),
            rewards=torch.from_numpy(samples.rewards),
            dones=torch.from_numpy(samples.dones),
            positions=None if samples.positions is None else torch.from_numpy(samples.positions),
            labels=None if samples.labels is None else torch.from_numpy(samples.labels),
        )

    def observations(self) -> Tensor:
        """Return the observations in [-1, 1] as float32 (B, T, S*C, H, W), time-major and channels last in memory.

        The channels of an observation are those of its newest frame, then of the earlier ones.
        """
        num_observations = self.actions.shape[1]
        newest = self.frames.shape[1] - num_observations
        frames = self.frames.transpose(0, 1).movedim(2, -1)  # (T+S-1, B, H, W, C)
        stacks = [frames[first : first + num_observations] for first in range(newest, -1, -1)]
        return normalize(torch.cat(stacks, dim=-1)).movedim(-1, 2).transpose(0, 1)

    def to(self, device: torch.device | str) -> Self:
        """Return the batch on a device; a copy to CUDA is asynchronous where the memory is pinned."""
        is_asynchronous = torch.device(device).type == "cuda"  # elsewhere the source may be freed during the copy
        return self._map(lambda tensor: tensor.to(device, non_blocking=is_asynchronous))

    def pin_memory(self) -> Self:
        """Return the batch in page-locked memory, from which copies to a CUDA device are asynchronous."""
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> Self:
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        changes: dict[str, Any] = {name: function(tensor) for name, tensor in tensors.items()}
        return replace(self, **changes)


class TrainingSampler(Sampler[list[SequenceKey]]):
    """Endless sampler of training batches, determined by the seed and the step alone.

    Each epoch visits all frames of the dataset in a new random order, skipping those too close to their video's end to
    start a sequence of the current length. A batch may begin in one epoch and end in the next.
    """

    def __init__(
        self,
        dataset: VideoDataset,
        batch_size: int,
        observations_count: Callable[[int], int],
        seed: int,
        first_step: int = 1,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        """Prepare the batches of the steps `first_step`, `first_step` + 1, ...

        Args:
            dataset: the videos to draw from.
            batch_size: number of sequences in a batch over all ranks; a multiple of `num_ranks`.
            observations_count: schedule of the sequence length T, by step.
            seed: seed of the random orders.
            first_step: step of the first batch; batches are the same as in a run that started at step 1.
            rank: the rank whose share of each batch is returned.
            num_ranks: number of ranks that share the batches.
        """
        self.dataset = dataset
        self.batch_size = batch_size
        self.observations_count = observations_count
        self.seed = seed
        self.first_step = first_step
        share = batch_size // num_ranks
        self._share = slice(rank * share, (rank + 1) * share)

    def __iter__(self) -> Iterator[list[SequenceKey]]:
        walk = _ShuffledWalk(self.dataset.frames_ahead(), self.seed)
        for length, steps in itertools.groupby(range(1, self.first_step), key=self.observations_count):
            walk.skip(self.batch_size * sum(1 for _ in steps), self.dataset.span(length))
        for step in itertools.count(self.first_step):
            length = self.observations_count(step)
            rows = walk.take(self.batch_size, self.dataset.span(length))
            yield [self.dataset.sequence_at(row, length) for row in rows[self._share]]


class _ShuffledWalk:
    """Iteration over epochs of shuffled rows that takes only rows with enough frames ahead."""

    def __init__(self, frames_ahead: np.ndarray, seed: int) -> None:
        self._frames_ahead = frames_ahead
        self._seed = seed
        self._span = 1
        self._fitting: np.ndarray
        self._begin_epoch(0)

    def take(self, count: int, span: int) -> list[int]:
        """Return the next `count` rows that have `span` frames ahead."""
        self._require(span)
        rows: list[int] = []
        while len(rows) < count:
            if not len(self._fitting):
                self._begin_epoch(self._epoch + 1)
            taken, self._fitting = np.split(self._fitting, [count - len(rows)])
            rows += self._order[taken].tolist()
            self._num_passed = int(taken[-1]) + 1
        return rows

    def skip(self, count: int, span: int) -> None:
        """Advance as `take` would, without shuffling the epochs in between."""
        self._require(span)
        if count > len(self._fitting):
            num_fitting = int(np.count_nonzero(self._frames_ahead >= span))
            num_epochs, last = divmod(count - len(self._fitting) - 1, num_fitting)
            self._begin_epoch(self._epoch + 1 + num_epochs)
            count = last + 1
        self.take(count, span)

    def _begin_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._order = np.random.default_rng((self._seed, epoch)).permutation(len(self._frames_ahead))
        self._num_passed = 0
        self._find_fitting()

    def _require(self, span: int) -> None:
        if span != self._span:
            self._span = span
            self._find_fitting()

    def _find_fitting(self) -> None:
        """Find the remaining positions in this epoch's order whose rows have enough frames ahead."""
        fits = self._frames_ahead[self._order] >= self._span
        assert fits.any(), f"no video has {self._span} frames"
        fits[: self._num_passed] = False
        self._fitting = np.flatnonzero(fits)


def evaluation_keys(
    dataset: VideoDataset, observations_count: int, max_sequences: int | None = None
) -> list[SequenceKey]:
    """Return all sequences of T observations in order, or `max_sequences` spread evenly over the dataset."""
    num_sequences = dataset.num_sequences(observations_count)
    count = min(num_sequences, max_sequences or num_sequences)
    return [dataset.sequence(index * num_sequences // count, observations_count) for index in range(count)]


def in_batches(keys: Sequence[SequenceKey], batch_size: int) -> list[Sequence[SequenceKey]]:
    """Split the keys into groups of `batch_size`; the last one may be smaller."""
    return [keys[first : first + batch_size] for first in range(0, len(keys), batch_size)]


class SequenceReader(Protocol):
    """Data from which batches are read."""

    @property
    def is_decoded(self) -> bool:
        """Whether all frames are already decoded."""
        ...

    def __getitem__(self, keys: Sequence[SequenceKey]) -> Samples:
        """Read sequences of equal length."""
        ...


@dataclass(frozen=True)
class BatchLoader:
    """Loader that prefetches batches in a thread or in worker processes; made by `make_loader`."""

    dataset: SequenceReader
    batches: Iterable[Sequence[SequenceKey]]
    num_workers: int
    device: torch.device

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches in the order of their keys.

        Raises:
            UserError: a frame cannot be read.
        """
        return self._read_in_workers() if self.num_workers else self._read_in_thread()

    def _read_in_thread(self) -> Iterator[Batch]:
        """Prefetch `BATCHES_AHEAD` batches in a thread, which ends with the iteration."""
        being_read: deque[Future[Batch]] = deque()
        use_gpu = partial(torch.cuda.set_device, torch.cuda.current_device()) if self._is_pinned else None
        with ThreadPoolExecutor(1, "batches", use_gpu) as reader:
            try:
                for keys in self.batches:
                    being_read.append(reader.submit(self._read, keys))
                    if len(being_read) > BATCHES_AHEAD:
                        yield being_read.popleft().result()
                while being_read:
                    yield being_read.popleft().result()
            finally:
                for batch in being_read:
                    batch.cancel()

    def _read(self, keys: Sequence[SequenceKey]) -> Batch:
        batch = Batch.of(self.dataset[keys])
        return batch.pin_memory() if self._is_pinned else batch

    def _read_in_workers(self) -> Iterator[Batch]:
        loader = DataLoader(
            _BatchReader(self.dataset),
            sampler=self.batches,
            batch_size=None,
            num_workers=self.num_workers,
            pin_memory=self._is_pinned,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),
        )
        for batch in loader:
            if isinstance(batch, UserError):
                raise batch
            yield batch

    @property
    def _is_pinned(self) -> bool:
        return self.device.type == "cuda"


def make_loader(
    dataset: SequenceReader,
    batches: Iterable[Sequence[SequenceKey]],
    num_workers: int = 0,
    device: torch.device | str = "cpu",
) -> BatchLoader:
    """Create a loader of `batches`, which is a `TrainingSampler` or `in_batches(evaluation_keys(...))`.

    It can be iterated as often as `batches` can; the worker processes live as long as an iteration. Without workers a
    thread reads, and also if frames are already decoded, since sending a batch between processes takes longer than
    reading it. For a CUDA `device` the batches are in pinned memory; `Batch.to` moves them. The global random state is
    not changed.
    """
    return BatchLoader(dataset, batches, 0 if dataset.is_decoded else num_workers, torch.device(device))


class _BatchReader(Dataset["Batch | UserError"]):
    """Reads whole batches; a `UserError` is returned, since raising it would make the worker print a traceback."""

    def __init__(self, dataset: SequenceReader) -> None:
        self._dataset = dataset

    def __getitem__(self, keys: Sequence[SequenceKey]) -> Batch | UserError:
        try:
            return Batch.of(self._dataset[keys])
        except UserError as error:
            return error


def _start_worker(_worker: int) -> None:
    """Shield a worker from the terminal's signals, since the command may still need batches while it stops."""
    os.setpgid(0, 0)
    end_with_parent()

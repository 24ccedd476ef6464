"""Data sets in shards, in a folder or at a URL, as a `dataset.formats.DataFormat`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from dataset.batching import Batch
from dataset.formats import sequence_options
from dataset.shards.loader import ShardedLoader
from dataset.shards.local import fetch_split
from dataset.shards.split import ShardedSplit
from dataset.shards.storage import Storage, is_sharded
from utils import ranks
from utils.command import UserError
from utils.configuration import Configuration, Data, DataSource


@dataclass(frozen=True)
class StreamedShards:
    """Training split in shards, which are downloaded while it is read."""

    split: ShardedSplit
    config: Configuration

    def batches(
        self, observations_count: Callable[[int], int], first_step: int, device: torch.device
    ) -> Iterable[Batch]:
        """See `dataset.formats.TrainingData`."""
        batching = self.config.training.batching
        return ShardedLoader(
            self.split,
            batch_size=batching.batch_size,
            observations_count=observations_count,
            seed=self.config.training.seed,
            first_step=first_step,
            num_workers=batching.num_workers,
            device=device,
            rank=ranks.rank(),
            num_ranks=ranks.num_ranks(),
            local_shards=self.config.data.local_shards,
            directory=_directory(self.config.data),
        )

    def state(self) -> dict[str, int]:
        """Return the seed, the sizes of batches and data, and the number of ranks that divide the shards."""
        return {
            "seed": self.config.training.seed,
            "batch_size": self.config.training.batching.batch_size,
            "num_videos": len(self.split.videos),
            "num_frames": self.split.num_frames,
            "local_shards": self.config.data.local_shards,
            "num_ranks": ranks.num_ranks(),
        }

    def true_actions(self) -> Iterable[tuple[str, Iterable[int] | None]]:
        """Yield the true actions of all shards."""
        yield self.split.storage.root, self.split.actions


class Shards:
    """Tar files with an index; validation and test splits are downloaded whole."""

    def holds(self, data_root: str) -> bool:
        """Whether `data_root` is a URL or holds an index of shards."""
        return is_sharded(data_root)

    def require_splits(self, data: DataSource, splits: Iterable[str]) -> None:
        """Check that the index has the splits.

        Raises:
            UserError: the index cannot be read or lacks one of them, or `data` asks for other splits.
        """
        _require_own_splits(data)
        index = Storage(data.data_root).read_index()
        for split in splits:
            index.find(split, data.data_root)

    def find_videos(self, data: DataSource, split: str) -> list[Path]:
        """Return the folders of all videos of the validation or test split, after downloading missing ones.

        Raises:
            UserError: there are none, or they cannot be downloaded; or the split is train, whose videos are cut and
                streamed.
            OSError: the disk is full.
        """
        _require_own_splits(data)
        if split == "train":
            raise UserError(
                f"{data.data_root}: training videos in shards are only for training; name the data set that was sharded"
            )
        return fetch_split(data.data_root, split, _directory(data))

    def open_training_data(self, config: Configuration) -> StreamedShards:
        """Open the training split.

        Raises:
            UserError: as `ShardedSplit`, or there are fewer shards than ranks.
        """
        split = ShardedSplit(config.data.data_root, "train", **sequence_options(config, config.training.batching))
        split.require_shards(ranks.num_ranks())
        return StreamedShards(split, config)


def _require_own_splits(data: DataSource) -> None:
    if data.dataset_splits is not None:
        raise UserError(f"{data.data_root}: shards have splits of their own; remove data.dataset_splits")


def _directory(data: DataSource) -> Path | None:
    """Return the configured folder of downloaded shards, if any."""
    return Path(data.shard_directory) if isinstance(data, Data) and data.shard_directory else None

"""Data sets in folders of videos, as a `dataset.formats.DataFormat`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dataset.batching import Batch, TrainingSampler, make_loader
from dataset.formats import sequence_options
from dataset.splits import find_split_videos
from dataset.video import Video
from dataset.video_dataset import VideoDataset
from utils import ranks
from utils.configuration import Batching, Configuration, DataSource, Training


@dataclass(frozen=True)
class TrainingVideos:
    """All sequences of the training videos, reshuffled in each epoch."""

    dataset: VideoDataset
    settings: Training

    def batches(
        self, observations_count: Callable[[int], int], first_step: int, device: torch.device
    ) -> Iterable[Batch]:
        """See `dataset.formats.TrainingData`."""
        batching = self.settings.batching
        sampler = TrainingSampler(
            self.dataset,
            batch_size=batching.batch_size,
            observations_count=observations_count,
            seed=self.settings.seed,
            first_step=first_step,
            rank=ranks.rank(),
            num_ranks=ranks.num_ranks(),
        )
        return make_loader(self.dataset, sampler, batching.num_workers, device)

    def state(self) -> dict[str, int]:
        """Return the seed and the sizes of batches and data."""
        return {
            "seed": self.settings.seed,
            "batch_size": self.settings.batching.batch_size,
            "num_videos": len(self.dataset.videos),
            "num_frames": self.dataset.num_frames,
        }

    def true_actions(self) -> Iterable[tuple[str, Iterable[int] | None]]:
        """Yield the true actions of each video."""
        return self.dataset.true_actions()


class VideoFolders:
    """Videos in the folders `<data_root>/<split>/*`, or in `<data_root>/*` and divided into splits."""

    def holds(self, data_root: str) -> bool:  # noqa: ARG002
        """Return True; a missing folder is reported when it is read."""
        return True

    def require_splits(self, data: DataSource, splits: Iterable[str]) -> None:
        """Check that the splits have videos.

        Raises:
            UserError: one has none.
        """
        for split in splits:
            self.find_videos(data, split)

    def find_videos(self, data: DataSource, split: str) -> list[Path]:
        """Return the folders of a split's videos. `UserError` if there are none."""
        return find_split_videos(data.data_root, split, data.dataset_splits)

    def open_training_data(self, config: Configuration) -> TrainingVideos:
        """Return the videos of the training split.

        Raises:
            UserError: as `open_videos`, or there are none.
            OSError: as `open_videos`.
        """
        videos = self.find_videos(config.data, "train")
        return TrainingVideos(open_videos(videos, config, config.training.batching), config.training)


def open_videos(paths: Sequence[Path], config: Configuration, batching: Batching) -> VideoDataset:
    """Open videos as a dataset of sequences with the configuration's crop, size and cache.

    Raises:
        UserError: a video is refused, all are too short, or the first sequence cannot be read.
        OSError: the disk is full.
    """
    dataset = VideoDataset([Video(path) for path in paths], **sequence_options(config, batching))
    dataset[[dataset.sequence(0, batching.observations_count)]]  # detects a crop outside of the frames
    return dataset

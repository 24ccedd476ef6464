"""Open the data of a configuration, in any format, for training, evaluation and play.

A new format is a `dataset.formats.DataFormat` in its own file, with an entry in the table here.
"""

from collections.abc import Iterable
from pathlib import Path

from dataset.folders import VideoFolders, open_videos
from dataset.formats import DataFormat, TrainingData
from dataset.shards.format import Shards
from dataset.splits import FLAT, find_all_videos
from dataset.video_dataset import VideoDataset
from utils.configuration import Batching, Configuration, DataSource

FORMATS: tuple[DataFormat, ...] = (Shards(), VideoFolders())
"""Formats in the order in which they are tried."""


def require_splits(data: DataSource, splits: Iterable[str]) -> None:
    """Check that the splits exist, before anything large is downloaded.

    Raises:
        UserError: one is missing.
    """
    _format_of(data).require_splits(data, splits)


def find_videos(data: DataSource, split: str) -> list[Path]:
    """Return the local folders of a split's videos, sorted by name; they are downloaded if necessary.

    Raises:
        UserError: there are none, or they cannot be downloaded; or they are training videos that are only streamed.
        OSError: the disk is full.
    """
    return _format_of(data).find_videos(data, split)


def is_without_splits(data: DataSource) -> bool:
    """Whether a data set is one flat folder of videos and the configuration does not divide it into splits.

    Raises:
        UserError: the folder holds no videos.
    """
    is_folder = isinstance(_format_of(data), VideoFolders) and Path(data.data_root).is_dir()
    return is_folder and data.dataset_splits is None and FLAT in find_all_videos(Path(data.data_root))


def open_split(config: Configuration, split: str, batching: Batching, max_videos: int | None = None) -> VideoDataset:
    """Open the sequences of a split, or of its first `max_videos` videos, as the configuration specifies.

    Raises:
        UserError: there are none, a video is refused, or the first sequence cannot be read.
        OSError: the disk is full.
    """
    return open_videos(find_videos(config.data, split)[:max_videos], config, batching)


def open_training_data(config: Configuration) -> TrainingData:
    """Open the training split, local or streamed.

    Raises:
        UserError: there is none, it does not fit the configuration, or it cannot be read.
        OSError: the disk is full.
    """
    return _format_of(config.data).open_training_data(config)


def _format_of(data: DataSource) -> DataFormat:
    return next(form for form in FORMATS if form.holds(data.data_root))

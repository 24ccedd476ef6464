"""Where a configuration becomes data, in whichever form that lies: for training, evaluation and play alike.

Another form is a `dataset.formats.DataFormat` in a file of its own, with a line in the table here.
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
"""The first that holds a data set opens it."""


def require_splits(data: DataSource, splits: Iterable[str]) -> None:
    """`UserError` if one of some splits is missing, found out before anything large is fetched."""
    _format_of(data).require_splits(data, splits)


def find_videos(data: DataSource, split: str) -> list[Path]:
    """Return the folders of a split's videos, sorted by name, on this machine: fetched if need be.

    Raises:
        UserError: there are none, or they cannot be fetched; or they are for training, and only streamed.
        OSError: the disk is full.
    """
    return _format_of(data).find_videos(data, split)


def is_without_splits(data: DataSource) -> bool:
    """Whether a data set is one flat folder of videos, of which the configuration does not say which are whose.

    Raises:
        UserError: the folder holds no videos.
    """
    is_folder = isinstance(_format_of(data), VideoFolders) and Path(data.data_root).is_dir()
    return is_folder and data.dataset_splits is None and FLAT in find_all_videos(Path(data.data_root))


def open_split(config: Configuration, split: str, batching: Batching, max_videos: int | None = None) -> VideoDataset:
    """Return the sequences of one split, or of its first `max_videos` videos, as the configuration wants them.

    Raises:
        UserError: there are none, a video is refused, or the first sequence cannot be read.
        OSError: the disk is full.
    """
    return open_videos(find_videos(config.data, split)[:max_videos], config, batching)


def open_training_data(config: Configuration) -> TrainingData:
    """Return what training draws from: sequences on this machine, or those that are streamed.

    Raises:
        UserError: there is none, it does not fit the configuration, or it cannot be read.
        OSError: the disk is full.
    """
    return _format_of(config.data).open_training_data(config)


def _format_of(data: DataSource) -> DataFormat:
    return next(form for form in FORMATS if form.holds(data.data_root))

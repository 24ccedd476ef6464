"""Which videos belong to which split of a dataset (docs/method.md#data-layout)."""

from collections.abc import Sequence
from pathlib import Path

from dataset.shards.local import fetch_split
from dataset.shards.storage import is_sharded
from utils.command import UserError

SPLITS = ("train", "val", "test")

FLAT = "all"
"""Stands for the splits of a data set without any."""


def find_videos(
    data_root: str | Path,
    split: str,
    dataset_splits: Sequence[float] | None = None,
    shard_directory: str | Path | None = None,
) -> list[Path]:
    """Return the folders of a split's videos, sorted by name.

    Without `dataset_splits` they are the folders `<data_root>/<split>/*`. With it (the fractions of train, val and
    test) they are the split's share of `<data_root>/*` in sorted order. Hidden folders are no videos. Out of shards,
    behind a URL or in a folder, validation and test videos are fetched: `dataset.shards.local.fetch_split`.

    Raises:
        UserError: there are none, or they cannot be fetched; or they are for training and in shards, which are cut and
            streamed (`dataset.shards.split.ShardedSplit`).
        OSError: the disk is full.
    """
    if is_sharded(data_root):
        require_own_splits(data_root, dataset_splits)
        if split == "train":
            raise UserError(
                f"{data_root}: training videos in shards are only for training; name the data set that was sharded"
            )
        return fetch_split(str(data_root), split, Path(shard_directory) if shard_directory else None)
    root = Path(data_root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; let data.data_root name the folder of the dataset")
    if dataset_splits is not None:
        return _cut(root, split, dataset_splits)

    folder = root / split
    videos = _folders(folder)
    if not videos:
        raise UserError(f"{folder}: no videos of the split '{split}' there; {_remedy(root, split)}")
    return videos


def require_own_splits(data_root: str | Path, dataset_splits: Sequence[float] | None) -> None:
    """`UserError` if a data set in shards is to be cut into other splits than it has."""
    if dataset_splits is not None:
        raise UserError(f"{data_root}: shards have splits of their own; remove data.dataset_splits")


def find_all_videos(root: Path) -> dict[str, list[Path]]:
    """Return the folders of a data set's videos by split, sorted by name; by `FLAT` if they lie in one flat folder.

    `UserError` if there are none.
    """
    by_split = {split: _folders(root / split) for split in SPLITS}
    found = {split: videos for split, videos in by_split.items() if videos} or {FLAT: _folders(root)}
    if not any(found.values()):
        raise UserError(f"{root}: holds no videos; name a folder with train, val and test, or one with videos")
    return found


def _cut(root: Path, split: str, fractions: Sequence[float]) -> list[Path]:
    videos = _folders(root)
    if split_folders := [video.name for video in videos if video.name in SPLITS]:
        raise UserError(
            f"{root}: data.dataset_splits cuts one flat folder of videos, but this one holds the split folders "
            f"{', '.join(split_folders)}; remove data.dataset_splits"
        )
    position = SPLITS.index(split)
    first, last = (round(len(videos) * sum(fractions[:end])) for end in (position, position + 1))
    if first == last:
        raise UserError(
            f"{root}: data.dataset_splits {list(fractions)} leaves none of its {len(videos)} videos to '{split}'; "
            f"raise that fraction or add videos"
        )
    return videos[first:last]


def _remedy(root: Path, split: str) -> str:
    found = [folder.name for folder in _folders(root)]
    if any(name in SPLITS for name in found):
        return f"found {', '.join(found)} in {root}: put the split's videos into {root / split}/<video>/"
    if found:
        return (
            f"found {len(found)} folders in {root} (the first is '{found[0]}'): if they are the videos, set "
            f"data.dataset_splits, for example [0.8, 0.1, 0.1]"
        )
    return f"{root} has no folders: put the split's videos into {root / split}/<video>/"


def _folders(parent: Path) -> list[Path]:
    """The visible folders in a folder, none if there is no such folder, sorted by name."""
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))

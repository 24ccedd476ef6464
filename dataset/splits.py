"""Assignment of videos to the splits of a dataset (docs/method.md#data-layout)."""

from collections.abc import Sequence
from pathlib import Path

from utils.command import UserError
from utils.files import is_data

SPLITS = ("train", "val", "test")

FLAT = "all"
"""Name of the only split of a data set without splits."""


def find_split_videos(data_root: str | Path, split: str, dataset_splits: Sequence[float] | None = None) -> list[Path]:
    """Return the folders of a split's videos, sorted by name.

    Without `dataset_splits` they are the folders `<data_root>/<split>/*`. With it (the fractions of train, val and
    test) they are the split's share of `<data_root>/*` in sorted order. Folders that hold no data are ignored.

    Raises:
        UserError: there are none.
    """
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


def find_all_videos(root: Path) -> dict[str, list[Path]]:
    """Return the folders of a data set's videos by split, sorted by name; under `FLAT` if it is one flat folder.

    Raises:
        UserError: there are none.
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
    """Return the visible folders in a folder, sorted by name; none if it does not exist."""
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and is_data(path))

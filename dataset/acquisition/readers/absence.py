"""What to answer where no videos are found."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from dataset.acquisition.readers.video_file import EXTENSIONS
from dataset.shards.index import INDEX_FILE
from dataset.splits import SPLITS
from dataset.video import FRAME_SUFFIXES
from utils.files import is_data

_NUM_LOOKED_AT = 10_000
"""Number of files and folders that are looked at for an answer."""

_NUM_NAMED = 3
"""Number of folders that an answer names."""


def why_nothing_is_found(path: Path) -> str:
    """Return the reason and the remedy, in one line, where a file or folder holds no videos that are read."""
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(path), re.IGNORECASE):
        return "it is an address; download the videos first, for example with yt-dlp, and name their folder"
    if not path.exists():
        return "there is no such file or folder; correct the path"
    if path.is_file():
        return _why_not_this(path)
    if is_data_set(path):
        return "it is a data set already; let data.data_root of a configuration name it (docs/data.md#layout)"
    below = list(islice(_below(path), _NUM_LOOKED_AT))
    if deeper := sorted({file.parent for file in below if _suffix(file) in EXTENSIONS}):
        return f"videos lie deeper, in {_named(deeper)}; name such a folder, or the one above it"
    if deeper := sorted({file.parent.parent for file in below if file.suffix.lower() in FRAME_SUFFIXES}):
        return f"pictures lie deeper, in folders of {_named(deeper)}; name such a folder"
    arrays = next((file for file in below if _suffix(file) in ("npz", "npy")), None)
    return _why_not_this(arrays) if arrays else "name a video file or a folder of some"


def is_data_set(path: Path) -> bool:
    """Whether a folder holds videos in the folders of splits, as training reads them, or their shards."""
    if (path / INDEX_FILE).is_file():
        return True
    splits = [path / split for split in SPLITS if (path / split).is_dir()]
    folders = (folder for split in splits for folder in split.iterdir() if folder.is_dir() and is_data(folder))
    return any(file.suffix.lower() in FRAME_SUFFIXES for folder in islice(folders, 1) for file in folder.iterdir())


def _why_not_this(file: Path) -> str:
    if _suffix(file) in ("npz", "npy"):
        return (
            f"arrays as in {file.name} are read from HDF5; store them so: h5py.File('videos.h5', 'w')['images'] = "
            "frames, uint8 (T, H, W, 3)"
        )
    if file.suffix.lower() in FRAME_SUFFIXES:
        return "it is one picture; name the folder of the video's pictures"
    return "it is of no kind that is read; name a video file or a folder of some"


def _below(path: Path) -> Iterator[Path]:
    """Yield the files in a folder and in all those below it, without following links."""
    folders = [path]
    while folders:
        for item in sorted(folders.pop().iterdir()):
            if is_data(item) and item.is_dir() and not item.is_symlink():
                folders.append(item)
            elif is_data(item):
                yield item


def _suffix(file: Path) -> str:
    return file.suffix.lower().removeprefix(".")


def _named(folders: list[Path]) -> str:
    more = f" and {len(folders) - _NUM_NAMED} more" if len(folders) > _NUM_NAMED else ""
    return ", ".join(map(str, folders[:_NUM_NAMED])) + more

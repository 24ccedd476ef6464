"""Local storage of downloaded shards: a few at a time for training, all of a split for evaluation.

A directory holds

    0/  1/ ...                      the shards of one training process each, reused by later ones
    whole/<split>-<digest>/         the shards of a validation or test split; the digest is that of the data set's place
"""

import fcntl
import hashlib
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tqdm import tqdm

from dataset.shards.storage import Storage
from utils.files import lock, require_writable, user_cache

LOCK = ".lock"
USERS = ".users"
"""Lock file shared by every process that reads a folder."""
WHOLE = "whole"


def default_directory() -> Path:
    """Folder for downloaded shards in the user's cache."""
    return user_cache() / "shards"


@contextmanager
def lock_folder(directory: Path) -> Iterator[Path]:
    """Give a folder in a directory that no other process uses as long as the block lasts. What was left there stays.

    Concurrent ranks and runs get one each. Existing contents are kept.

    Raises:
        UserError: the directory cannot be written.
    """
    require_writable(directory, "choose another folder for shards")
    for number in itertools.count():
        folder = directory / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("w") as file:
            if lock(file):
                _remove_unfinished(folder)
                yield folder
                return


def fetch_split(data_root: str, split: str, directory: Path | None = None) -> list[Path]:
    """Return the folders of all videos of a split in shards, sorted, after downloading missing ones.

    They stay in `directory` (default: `default_directory`) until other shards replace them in the data set and no
    process uses them. Meant for validation and test videos, which are not cut.

    Raises:
        UserError: there is no such split, or a shard cannot be downloaded.
        OSError: the directory cannot be written.
    """
    directory = directory or default_directory()
    require_writable(directory, "choose another folder for shards")
    storage = Storage(data_root)
    shards = storage.read_index().find(split, data_root).shards
    folder = directory / WHOLE / f"{split}-{hashlib.blake2b(storage.identity.encode(), digest_size=8).hexdigest()}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as file:
        lock(file, f"{folder}: waiting for another process that is fetching shards")
        _remove_unfinished(folder)
        _remove_unused(folder, {shard.sha256 for shard in shards})
        _use(folder)
        fetched = [
            storage.fetch(shard, folder)
            for shard in tqdm(shards, f"fetching {split}", unit="shard", disable=None, leave=False)
        ]
    videos = [videos / clip.key for videos, shard in zip(fetched, shards, strict=True) for clip in shard.clips]
    return sorted(videos, key=lambda video: video.name)


def _remove_unused(folder: Path, wanted: set[str]) -> None:
    """Remove shards not in `wanted`, unless a process uses the folder."""
    with (folder / USERS).open("w") as users:
        if lock(users):
            for path in folder.glob("[!.]*/"):
                if path.name not in wanted:
                    shutil.rmtree(path)


@cache
def _use(folder: Path) -> int:
    """Prevent removal of a folder's shards for the lifetime of this process; return the file descriptor."""
    users = os.open(folder / USERS, os.O_RDWR | os.O_CREAT)
    fcntl.flock(users, fcntl.LOCK_SH)
    return users


def _remove_unfinished(folder: Path) -> None:
    """Remove shards that a killed process left incompletely downloaded or removed."""
    for path in folder.glob(".*/"):
        shutil.rmtree(path)

"""Atomic writing of files and folders, locks between processes, and the user's cache folder."""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from utils.command import UserError, provide_user, tell

MAX_NAME_BYTES = 255
"""In the name of a file, on common file systems."""

NOT_DATA = frozenset(["__MACOSX", "@eaDir"])
"""Folders that archives of macOS and network storages add to others."""


def is_data(path: Path) -> bool:
    """Whether a file or folder in one of data is none that systems add: hidden ones, and `NOT_DATA`."""
    return not path.name.startswith(".") and path.name not in NOT_DATA


@contextmanager
def replacing(path: Path, is_durable: bool = True) -> Iterator[IO[bytes]]:
    """Open a temporary file that is flushed and renamed to `path` when the block ends without an exception.

    Until then, and after an exception, the previous file at `path` is untouched. Missing folders are created.

    Args:
        path: the file to write or replace.
        is_durable: whether to wait until it is on the disk, so that it is whole after a loss of power too.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _unfinished(path)
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            if is_durable:
                os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def unfinished_folder(path: Path) -> Iterator[Path]:
    """Create an empty hidden folder beside `path`, for the caller to fill and rename to `path`.

    What is left of it when the block ends is removed. If the process is killed, it stays until the next call for the
    same `path`. Missing folders are created.
    """
    unfinished = _unfinished(path)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _unfinished(path: Path) -> Path:
    name = f".{path.name}.unfinished"
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()}.unfinished"
    return path.with_name(name)


def user_cache() -> Path:
    """The folder of this project in the user's cache, which need not exist yet."""
    provide_user()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "playable-video")


def lock(file: IO[Any], waiting: str | None = None) -> bool:
    """Take the exclusive lock of an open file, held until the file is closed; return whether it was obtained.

    Args:
        file: the file, open for writing.
        waiting: message printed before waiting for the process that holds the lock. None: do not wait.

    Raises:
        OSError: the file system does not support locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if waiting is None:
            return False
        tell(waiting)
        fcntl.flock(file, fcntl.LOCK_EX)
    return True


@contextmanager
def only_process(folder: Path, choice: str) -> Iterator[None]:
    """Hold the lock of a folder, which is created if missing, for the duration of the block.

    The lock ends with this process, even if it is killed while its child processes live on. On file systems without
    locks, such as some network disks, nothing keeps other processes away.

    Raises:
        UserError: another process works there; the message proposes another `choice`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                remedy = f"wait for it, or choose another {choice}"
                raise UserError(f"{folder}: another process is at work there; {remedy}") from error
        yield


def require_writable(folder: Path, remedy: str) -> None:
    """Check that a folder, which need not exist yet, can be written; nothing is created.

    Raises:
        UserError: it cannot; the message ends with the remedy.
    """
    nearest = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
        reason = "is not writable" if nearest.is_dir() else "is no folder"
        raise UserError(f"{folder}: cannot be written, since {nearest} {reason}; {remedy}")

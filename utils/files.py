"""Files and folders that appear when they are whole, locks between processes, and the user's cache."""

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


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of `path`, flushed to the disk, once the block is left without an exception.

    Until then, and after an exception, what was at `path` before is still there. Missing folders are made.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _unfinished(path)
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def unfinished_folder(path: Path) -> Iterator[Path]:
    """Give an empty hidden folder beside `path`, to be renamed to it or emptied; what is left is removed in the end.

    If the process is killed it stays, until the next one of the same `path`. Missing folders are made.
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
    """Whether this process became the only one with the lock of an open file, which it keeps until that is closed.

    Args:
        file: The file, open for writing.
        waiting: What to tell before waiting for the process that has the lock. None: do not wait.

    Raises:
        OSError: the file system has no locks.
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
    """Be the only process that works in a folder, which is made if it is missing, until the block is left.

    The lock ends with this process, also when it is killed while processes that it started live on.

    A file system without locks, as some network disks are, does not keep others away.

    Raises:
        UserError: another process works there; `choice` is what the user may choose another one of instead.
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
    """Find out whether a folder, which need not exist yet, can be written; nothing is created.

    Raises:
        UserError: it cannot; the message ends with the remedy.
    """
    nearest = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
        reason = "is not writable" if nearest.is_dir() else "is no folder"
        raise UserError(f"{folder}: cannot be written, since {nearest} {reason}; {remedy}")

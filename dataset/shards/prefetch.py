"""Background process that downloads shards into a bounded local folder."""

import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO, TextIOWrapper
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

from dataset.shards.split import ShardedSplit
from utils.command import UserError


@dataclass(frozen=True)
class Request:
    """Request to download a shard after removing others."""

    shard: int
    removed: tuple[str, ...]
    """SHA-256 of the shards to remove, which are the names of their folders."""


class ShardCache:
    """The shards of the windows that are being read, and those of the next one as they come.

    with ShardCache(split, windows, folder, capacity) as cache:
        cache.require(first=0, last=0)      the shards of the first window are there, the next ones are fetched
    """

    def __init__(self, split: ShardedSplit, windows: Iterator[list[int]], folder: Path, capacity: int) -> None:
        """Prepare the cache.

        Args:
            split: the split that the shards belong to.
            windows: the shards of each window.
            folder: folder for the shards; shards of earlier runs in it are reused.
            capacity: maximum number of shards, at least two windows. It is exceeded only if more than two windows are
                required at once.
        """
        self._split = split
        self._windows = windows
        self._folder = folder
        self._capacity = capacity
        self._process = _Process(_Fetching(split, folder))
        self._last_windows = {path.name: -1 for path in sorted(folder.iterdir()) if not path.name.startswith(".")}
        self._sizes: list[int] = []
        self._num_ready = 0

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def require(self, first: int, last: int) -> None:
        """Wait for the windows `first` to `last`, counted from 0, and prefetch the one after `first`.

        Windows before `first` may be removed from now on.

        Raises:
            UserError, OSError: a shard cannot be downloaded.
        """
        while len(self._sizes) <= max(first + 1, last):
            self._request(next(self._windows), first)
        while self._num_ready <= last:
            for _ in range(self._sizes[self._num_ready]):
                self._process.wait()
            self._num_ready += 1

    def _request(self, shards: list[int], first_used: int) -> None:
        """Request the next window while the windows from `first_used` on are in use."""
        window = len(self._sizes)
        self._sizes.append(len(shards))
        names = [self._split.shards[shard].sha256 for shard in shards]
        for name in names:
            if name in self._last_windows:
                self._last_windows[name] = window
        for shard, name in zip(shards, names, strict=True):
            removed = () if name in self._last_windows else self._removable(first_used)
            for each in removed:
                del self._last_windows[each]
            self._last_windows[name] = window
            self._process.send(Request(shard, removed))

    def _removable(self, first_used: int) -> tuple[str, ...]:
        """Return the least recently used shards to remove so that one more fits."""
        unused = sorted((window, name) for name, window in self._last_windows.items() if window < first_used)
        surplus = len(self._last_windows) + 1 - self._capacity
        return tuple(name for _, name in unused[: max(surplus, 0)])


@dataclass(frozen=True)
class _Fetching:
    """Prepares a shard for all processes: downloads it and, if the cache is `disk`, decodes it."""

    split: ShardedSplit
    folder: Path

    def __call__(self, request: Request) -> None:
        for name in request.removed:
            shutil.rmtree((self.folder / name).rename(self.folder / f".{name}"))
        with self.split.naming(request.shard):
            self.split.storage.fetch(self.split.shards[request.shard], self.folder)
            self.split.open_shard(request.shard, self.folder)


class _Process:
    """Process that serves requests in order, until it is stopped or this process ends."""

    def __init__(self, serve: Callable[[Request], None]) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        self._theirs = theirs
        self._process = multiprocessing.Process(target=_serve, args=(serve, self._connection, theirs), daemon=True)

    def start(self) -> None:
        self._process.start()
        self._theirs.close()

    def send(self, request: Request) -> None:
        with suppress(ConnectionError):  # if the process has ended, `wait` reports it
            self._connection.send(request)

    def wait(self) -> None:
        """Wait until the next request is served.

        Raises:
            UserError, OSError: the request failed.
        """
        try:
            outcome = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            raise UserError(
                f"the process that fetches shards ended with code {self._process.exitcode}; if memory was short, free "
                "some, then run the same command again"
            ) from None
        if outcome is not None:
            raise outcome

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()


class _Plain(TextIOWrapper):
    """Stream that is no terminal, so that no progress bar is drawn over that of training."""

    def isatty(self) -> bool:
        return False


def _serve(serve: Callable[[Request], None], parents: Connection, requests: Connection) -> None:
    os.setpgid(0, 0)  # the terminal's signals must not end this process: the command may still need it while it stops
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.stderr = _Plain(FileIO(2, "w", closefd=False), write_through=True)
    parents.close()
    with suppress(EOFError, ConnectionError):
        while True:
            request = requests.recv()
            try:
                serve(request)
            except (UserError, OSError) as error:
                requests.send(error)
            else:
                requests.send(None)

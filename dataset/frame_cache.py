"""Readers of a dataset's frames: decoded on demand, or decoded once and cached in memory or on disk.

Cropped and resized frames are cached. On disk, the frames of all videos are in one file that every process maps, in
`.cache/` beside the videos or, where that cannot be written, in the user's cache folder. Each choice of videos, crop
and size has its own file. It begins with a fingerprint of the source frame files and is replaced when they change.

A *row* numbers the frames of all videos, one video after the other.

Dimensions: N rows, H height, W width.
"""

import errno
import hashlib
import itertools
import math
import os
import shutil
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dataset.transforms import FrameTransform
from dataset.video import Video, is_frame
from utils.command import UserError, tell
from utils.configuration import Cache
from utils.files import lock, replacing, user_cache

FORMAT_VERSION = 1
BLOCK_ROWS = 16


class FrameReader(Protocol):
    """Reader of frames by row."""

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the frames of some rows (N) as uint8 (N, H, W, 3)."""
        ...


def open_frames(videos: Sequence[Video], transform: FrameTransform, cache: Cache) -> FrameReader:
    """Return a reader of the videos' frames, which worker processes share without copies.

    With `none` frames are decoded on demand; with `memory` all are decoded now; with `disk` too, unless an earlier run
    did so and no frame file has changed since.

    Raises:
        UserError: there is too little memory or disk space.
        VideoError: a frame cannot be read.
    """
    decoded = DecodedFrames(videos, transform)
    if cache == "memory":
        return _decode_to_memory(decoded)
    if cache == "disk":
        return _decode_to_disk(decoded)
    return decoded


class DecodedFrames:
    """Frames decoded from their files at each read."""

    def __init__(self, videos: Sequence[Video], transform: FrameTransform) -> None:
        self.videos = videos
        self.transform = transform
        self._first_rows = list(itertools.accumulate((video.num_frames for video in videos), initial=0))
        width, height = transform.size
        self.shape = (self._first_rows[-1], height, width, 3)
        self.num_bytes = math.prod(self.shape)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the frames of some rows (N) as uint8 (N, H, W, 3)."""
        frames = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for index, row in enumerate(rows.tolist()):
            frames[index] = self._read(row)
        return frames

    def _read(self, row: int) -> np.ndarray:
        index = bisect_right(self._first_rows, row) - 1
        video, frame = self.videos[index], row - self._first_rows[index]
        image = video.frame(frame)
        try:
            return self.transform(image)
        except UserError as error:
            raise UserError(f"{video.path}, frame {frame}: {error}") from error

    def read_all(self, description: str) -> Iterator[np.ndarray]:
        """Yield all frames in order, in blocks uint8 (N, H, W, 3), decoded in threads with a progress bar."""
        num_rows, num_threads = self.shape[0], os.cpu_count() or 1
        blocks = (np.arange(row, min(row + BLOCK_ROWS, num_rows)) for row in range(0, num_rows, BLOCK_ROWS))
        with (
            ThreadPoolExecutor(num_threads) as pool,
            tqdm(total=num_rows, desc=description, unit=" frames", disable=None) as progress,
        ):
            while window := list(itertools.islice(blocks, 2 * num_threads)):
                for block in pool.map(self.read, window):
                    yield block
                    progress.update(len(block))


class MemoryFrames:
    """Frames in one tensor, shared with workers.

    Forked workers share its memory pages; for spawned ones torch moves it to shared memory.
    """

    def __init__(self, frames: Tensor) -> None:
        self._frames = frames

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the frames of some rows (N) as uint8 (N, H, W, 3)."""
        return self._frames.numpy()[rows]


class MappedFrames:
    """Frames in one memory-mapped file."""

    def __init__(self, path: Path, shape: tuple[int, int, int, int], fingerprint: bytes) -> None:
        """Map a file.

        Raises:
            OSError, ValueError: it is missing, incomplete, or has another fingerprint.
        """
        self._arguments = path, shape, fingerprint
        with path.open("rb") as file:
            if file.read(len(fingerprint)) != fingerprint:
                raise ValueError(f"{path}: made of other frames")
            self._frames = np.memmap(file, np.uint8, "r", len(fingerprint), shape).view(np.ndarray)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the frames of some rows (N) as uint8 (N, H, W, 3)."""
        return self._frames[rows]

    def __reduce__(self) -> tuple[type["MappedFrames"], tuple[Any, ...]]:
        return MappedFrames, self._arguments


def _decode_to_memory(decoded: DecodedFrames) -> MemoryFrames:
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if decoded.num_bytes > installed:
        raise UserError(
            f"data.cache 'memory' needs {_megabytes(decoded.num_bytes)} for {decoded.videos[0].path.parent}, "
            f"but this machine has {_megabytes(installed)}; set data.cache to 'disk' or 'none'"
        )
    frames = torch.empty(decoded.shape, dtype=torch.uint8)
    row = 0
    for block in decoded.read_all(f"decoding {_megabytes(decoded.num_bytes)} into memory"):
        frames.numpy()[row : row + len(block)] = block
        row += len(block)
    return MemoryFrames(frames)


def _decode_to_disk(decoded: DecodedFrames) -> MappedFrames:
    """Map the file of all frames, after writing it if it is missing or outdated."""
    current = fingerprint(decoded.videos, FORMAT_VERSION, decoded.transform)
    paths = _possible_paths(decoded)
    for path in paths:
        if frames := _map_current(path, decoded, current):
            return frames
    path, locked = _lock_first_writable(paths)
    with locked:
        if frames := _map_current(path, decoded, current):
            return frames
        _write(path, decoded, current)
        return MappedFrames(path, decoded.shape, current)


def fingerprint(videos: Sequence[Video], *settings: object) -> bytes:
    """Return a digest of settings and of the names, sizes and modification times of the videos' frame files."""
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=32)
    for video in videos:
        digest.update(f"\n{video.path.name}".encode())
        with os.scandir(video.path) as entries:
            frames = {entry.name: entry.stat() for entry in entries if is_frame(entry)}
        for name, stat in sorted(frames.items()):
            digest.update(f" {name} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.digest()


def _possible_paths(decoded: DecodedFrames) -> list[Path]:
    folder = decoded.videos[0].path.parent.resolve()
    selection = repr((decoded.transform, [video.path.name for video in decoded.videos]))
    width, height = decoded.transform.size
    name = f"{width}x{height}_{hashlib.blake2b(selection.encode(), digest_size=8).hexdigest()}.frames"
    return [folder / ".cache" / name, user_cache().joinpath(*folder.parts[1:], name)]


def _map_current(path: Path, decoded: DecodedFrames, fingerprint: bytes) -> MappedFrames | None:
    try:
        return MappedFrames(path, decoded.shape, fingerprint)
    except (OSError, ValueError):
        return None


def _lock_first_writable(paths: Sequence[Path]) -> tuple[Path, IO[str]]:
    """Lock the first writable path; the lock is released when the returned file is closed or the process ends."""
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.with_suffix(".lock").open("w")
            lock(file, f"{path}: waiting for another process that is decoding frames")
            return path, file
        except OSError as error:
            tell(f"warning: {path.parent}: decoded frames cannot be kept there ({error.strerror})")
    raise UserError(
        f"data.cache 'disk' can write neither to {' nor to '.join(str(path.parent) for path in paths)}; "
        f"make one of them writable or set data.cache to 'memory' or 'none'"
    )


def _write(path: Path, decoded: DecodedFrames, fingerprint: bytes) -> None:
    """Decode all frames into the file; the caller holds the lock."""
    try:
        if shutil.disk_usage(path.parent).free < decoded.num_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with replacing(path) as file:
            file.write(fingerprint)
            for block in decoded.read_all(f"decoding {_megabytes(decoded.num_bytes)} into {path}"):
                file.write(block.data)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"{path.parent}: the disk is full: data.cache 'disk' needs {_megabytes(decoded.num_bytes)}; "
            f"free some space or set data.cache to 'none'"
        ) from error


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB"

"""Reader of HDF5 files with an array of frames.

A file holds `images` or `frames`, uint8 (T, H, W, 3) for one video or (N, T, H, W, 3) for several, and optionally
`actions`: integers (T) or (N, T), the action at each frame, or numeric vectors (T, A) or (N, T, A), which become
metadata.

Dimensions: N videos, T frames in each, A dimensions of an action, H x W pixels.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from dataset.acquisition.readers.files import explaining_damage, find_files, name_of
from dataset.acquisition.readers.pictures import require_bearable_size
from dataset.acquisition.readers.source import Probe, Source, SourceError, SourceFrame
from utils.command import UserError

FRAMES = ("images", "frames")
ACTIONS = "actions"

MAX_ACTION_DIMENSIONS = 1024
_MAX_CHUNK_BYTES = 2**30
"""Maximum size of a chunk, the unit in which HDF5 decompresses; the file decides it."""
_MAX_LENGTH = 2**22
"""Maximum number of videos in a file, and of frames in a video: arrays may claim any shape without taking space."""


def find(path: Path) -> list[Source]:
    """Return the videos of the .h5 and .hdf5 files at a path.

    Raises:
        UserError: there are such files, but h5py is not installed.
    """
    return [source for file in find_files(path, {".h5", ".hdf5"}) for source in _videos(file, name_of(file, path))]


def _videos(file: Path, name: str) -> list[Source]:
    """Return the videos of one file; an unreadable file counts as one video, whose `probe` raises the error."""
    try:
        with _arrays(file, name) as arrays:
            shape = arrays.frames.shape
    except SourceError:
        shape = ()
    if len(shape) < 5:
        return [Hdf5Video(name, file, ())]
    return [Hdf5Video(f"{name}[{number}]", file, (number,)) for number in range(shape[0])]


@dataclass(frozen=True)
class Hdf5Video:
    """One video of a file."""

    name: str
    file: Path
    index: tuple[int, ...]
    """Index of its frames and actions in the arrays: (number of the video) or ()."""

    def probe(self) -> Probe:
        """Read the shape of the array.

        Raises:
            SourceError: there is no readable array.
        """
        with _arrays(self.file, self.name) as arrays:
            num_frames, height, width, _ = arrays.frames.shape[-4:]
        return Probe(width, height, None, num_frames)

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames with their actions.

        Raises:
            SourceError: the file is damaged.
        """
        with _arrays(self.file, self.name) as arrays:
            num_frames = arrays.frames.shape[-4]
            block_length = _block_length(arrays.frames)
            for first in range(0, num_frames, block_length):
                block = (*self.index, slice(first, first + block_length))
                with explaining_damage(f"{self.name}: frames from {first} on"):
                    pixels = arrays.frames[block]
                    actions = [None] * len(pixels) if arrays.actions is None else arrays.actions[block]
                for frame, action in zip(pixels, actions, strict=True):
                    yield _frame(frame, action)


def _block_length(frames: Any) -> int:
    """Return the number of frames to read at once: a chunk's, unless too many, so that it is decompressed only once."""
    chunk_length = frames.chunks[-4] if frames.chunks else 1
    return max(1, min(chunk_length, _MAX_CHUNK_BYTES // math.prod(frames.shape[-3:])))


def _frame(pixels: np.ndarray, action: np.ndarray | None) -> SourceFrame:
    if action is None:
        return SourceFrame(pixels)
    if action.dtype.kind in "iub" and action.size == 1:
        return SourceFrame(pixels, int(action.item()))
    return SourceFrame(pixels, metadata={"action": action.tolist()})


@dataclass(frozen=True)
class _Arrays:
    """Validated `h5py.Dataset`s of an open file."""

    frames: Any
    actions: Any | None


@contextmanager
def _arrays(file: Path, name: str) -> Iterator[_Arrays]:
    h5py = _h5py()
    with explaining_damage(name):
        content = h5py.File(file, "r")
    with content:
        with explaining_damage(name):
            frames = next((array for key in FRAMES if (array := _array(content, key, name)) is not None), None)
            actions = _array(content, ACTIONS, name)
        if frames is None:
            raise SourceError(f"{name}: has no array named {' or '.join(FRAMES)}; rename the one with the frames")
        _check_frames(frames, name)
        if actions is not None:
            _check_actions(actions, frames, name)
        yield _Arrays(frames, actions)


def _array(content: Any, key: str, name: str) -> Any | None:
    """Return the array of a name in an open file, or None.

    Raises:
        SourceError: its data are outside of the file, or its chunks are too large.
    """
    h5py = _h5py()
    link = content.get(key, getlink=True)
    if link is None:
        return None
    array = content[key] if isinstance(link, h5py.HardLink) else None
    if not isinstance(array, h5py.Dataset) or array.is_virtual or array.external:
        raise SourceError(f"{name}: '{key}' is not an array within this file; store the array itself")
    if math.prod(array.chunks or ()) * array.dtype.itemsize > _MAX_CHUNK_BYTES:
        raise SourceError(f"{name}: '{key}' has chunks of {array.chunks}, which are too large; store smaller ones")
    return array


def _check_frames(frames: Any, name: str) -> None:
    if frames.dtype != np.uint8 or frames.ndim not in (4, 5) or frames.shape[-1] != 3:
        raise SourceError(
            f"{name}: the frames are {frames.dtype} {frames.shape}; store them as uint8 (T, H, W, 3) or (N, T, H, W, 3)"
        )
    if not 0 < min(frames.shape[:-3]) <= max(frames.shape[:-3]) <= _MAX_LENGTH:
        raise SourceError(f"{name}: an array of {frames.shape} is empty or too long; cut it into several files")
    require_bearable_size(name, width=frames.shape[-2], height=frames.shape[-3])


def _check_actions(actions: Any, frames: Any, name: str) -> None:
    lead = frames.shape[:-3]
    is_numeric = actions.dtype.kind in "iubf"
    if not is_numeric or actions.shape[: len(lead)] != lead or actions.ndim > len(lead) + 1:
        raise SourceError(
            f"{name}: the actions are {actions.dtype} {actions.shape}; store {lead} numbers or vectors of numbers, as "
            "there are frames, or rename the array"
        )
    if actions.ndim > len(lead) and actions.shape[-1] > MAX_ACTION_DIMENSIONS:
        raise SourceError(f"{name}: actions of {actions.shape[-1]} dimensions are too large; rename the array")


def _h5py() -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise UserError(
            "reading HDF5 files needs h5py, which is not installed; install it: pip install h5py"
        ) from error
    return h5py

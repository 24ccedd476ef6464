"""Reader of HDF5 files with an array of frames.

A file holds `images` or `frames`, uint8 (T, H, W, 3) for one video or (N, T, H, W, 3) for several, and optionally
`actions`: integers (T) or (N, T), the action at each frame, or numeric vectors (T, A) or (N, T, A), which become
metadata.

Other arrays are chosen by a path that goes on within the file, or within each file of a folder, and in which `*` stands
for any group: `demo.hdf5/data/*/obs/agentview_image` of robomimic, `episodes/observations/images/cam_high` of ALOHA.
Each such array is a video or several, may also hold pictures as JPEG or PNG, uint8 (T, bytes), and its actions are the
nearest `actions` or `action`, in its group or in one around it.

Dimensions: N videos, T frames in each, A dimensions of an action, H x W pixels.
"""

import fnmatch
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import numpy as np

from dataset.acquisition.readers.files import explaining_damage, find_files, name_of, natural_key
from dataset.acquisition.readers.pictures import decoded_pixels, require_bearable_size
from dataset.acquisition.readers.source import Probe, Source, SourceError, SourceFrame
from utils.extras import missing_package

SUFFIXES = frozenset([".h5", ".hdf5"])
FRAMES = ("images", "frames")
ACTIONS = ("actions", "action")

MAX_ACTION_DIMENSIONS = 1024
_MAX_CHUNK_BYTES = 2**30
"""Maximum size of a chunk, the unit in which HDF5 decompresses; the file decides it."""
_MAX_LENGTH = 2**22
"""Maximum number of videos in a file, and of frames in a video: arrays may claim any shape without taking space."""
_MAX_ARRAYS = 2**16
"""Maximum number of arrays and groups that are looked at in a file."""
_NUM_LISTED = 8
"""Number of arrays that a message lists."""


def find(path: Path) -> list[Source]:
    """Return the videos of the .h5 and .hdf5 files at a path, or those of the arrays that it names within them.

    Raises:
        UserError: there are such files, but h5py is not installed.
    """
    place = next(place for place in (path, *path.parents) if place.exists())
    files = find_files(place, SUFFIXES)
    if place == path:
        return [video for file in files for video in _videos(file, name_of(file, place), place, None)]
    array = path.relative_to(place).as_posix()
    keys = {file: _matching(file, array) for file in files}
    if place.is_dir() and not any(keys.values()):
        return []  # it is no array that is missing, but a file
    return [
        video
        for file in files
        for key in keys[file] or [array]
        for video in _videos(file, name_of(file, place), place, key)
    ]


def _videos(file: Path, name: str, place: Path, key: str | None) -> list[Source]:
    """Return the videos of an array; an unreadable one counts as one video, whose `probe` raises the error."""
    named = name if key is None else f"{name}/{key}"
    whole = Hdf5Video(named, file, (), key, place)
    try:
        with whole.arrays() as arrays:
            lead = arrays.frames.shape[:-4]
    except SourceError:
        lead = ()
    if not lead:
        return [whole]
    return [Hdf5Video(f"{named}[{number}]", file, (number,), key, place) for number in range(lead[0])]


@dataclass(frozen=True)
class Hdf5Video:
    """One video of a file."""

    name: str
    file: Path
    index: tuple[int, ...]
    """Index of its frames and actions in the arrays: (number of the video) or ()."""
    key: str | None
    """Path of the array of frames within the file; None: `images` or `frames`."""
    place: Path
    """Where the file was found: the file itself, or a folder."""

    def probe(self) -> Probe:
        """Read the shape of the array.

        Raises:
            SourceError: there is no readable array.
        """
        with self.arrays() as arrays:
            if arrays.frames.ndim == 2:
                height, width, _ = self._pixels(arrays.frames[0], 0).shape
                return Probe(width, height, None, len(arrays.frames))
            num_frames, height, width, _ = arrays.frames.shape[-4:]
        return Probe(width, height, None, num_frames)

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames with their actions.

        Raises:
            SourceError: the file is damaged.
        """
        with self.arrays() as arrays:
            num_frames = arrays.frames.shape[len(self.index)]
            block_length = _block_length(arrays.frames)
            for first in range(0, num_frames, block_length):
                block = (*self.index, slice(first, first + block_length))
                with explaining_damage(f"{self.name}: frames from {first} on"):
                    stored = arrays.frames[block]
                    actions = [None] * len(stored) if arrays.actions is None else arrays.actions[block]
                for number, (frame, action) in enumerate(zip(stored, actions, strict=True), first):
                    yield _frame(self._pixels(frame, number), action)

    @contextmanager
    def arrays(self) -> Iterator["_Arrays"]:
        """Open the validated arrays.

        Raises:
            SourceError: there are none.
        """
        with _open(self.file, self.name) as content:
            with explaining_damage(self.name):
                frames, actions = self._chosen(content)
            _check_frames(frames, self.name)
            if actions is not None:
                _check_actions(actions, frames, self.name)
            yield _Arrays(frames, actions)

    def _chosen(self, content: Any) -> tuple[Any, Any | None]:
        """Return the array of frames, and that of the actions if there is one."""
        if self.key is None:
            frames = next((array for key in FRAMES if (array := _array(content, key, self.name)) is not None), None)
            if frames is None:
                raise SourceError(f"{self.name}: has no array named {' or '.join(FRAMES)}; {self._remedy(content)}")
            return frames, _array(content, ACTIONS[0], self.name)
        if self.key not in _arrays_in(content):
            raise SourceError(f"{self.name}: there is no such array; {self._remedy(content)}")
        groups = PurePosixPath(self.key).parents
        nearest = (content[str(group)] if group.name else content for group in groups)
        actions = (
            array for group in nearest for key in ACTIONS if (array := _array(group, key, self.name)) is not None
        )
        return _array(content, self.key, self.name), next(actions, None)

    def _remedy(self, content: Any) -> str:
        """What to do where the frames are in other arrays: their paths."""
        arrays = _arrays_in(content)
        kinds: dict[str, str] = {}
        for key, array in arrays.items():
            if _may_be_frames(array):
                *groups, last = key.split("/")
                pattern = "/".join([*("*" if re.search(r"\d$", group) else group for group in groups), last])
                kinds.setdefault(pattern, f"{pattern} {array.shape}")
        if kinds:
            example = next(iter(kinds))
            return (
                f"choose the array of the frames, as in --videos '{self.place}/{example}'; "
                f"there are {_listed(list(kinds.values()))}"
            )
        found = [f"{key} {array.dtype} {array.shape}" for key, array in arrays.items()]
        return f"store the frames in one; there are {_listed(found)}" if found else "it holds no arrays at all"

    def _pixels(self, frame: np.ndarray, number: int) -> np.ndarray:
        """Decode a frame that is stored as a picture."""
        if frame.ndim == 3:
            return frame
        return decoded_pixels(f"{self.name}: frame {number}", frame.tobytes())


def _block_length(frames: Any) -> int:
    """Return the number of frames to read at once: a chunk's, unless too many, so that it is decompressed only once."""
    lead = 0 if frames.ndim == 2 else frames.ndim - 4
    chunk_length = frames.chunks[lead] if frames.chunks else 1
    return max(1, min(chunk_length, _MAX_CHUNK_BYTES // math.prod(frames.shape[lead + 1 :])))


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
def _open(file: Path, name: str) -> Iterator[Any]:
    h5py = _h5py()
    with explaining_damage(name):
        content = h5py.File(file, "r")
    with content:
        yield content


def _arrays_in(content: Any) -> dict[str, Any]:
    """Return the arrays of an open file by their paths, in natural order; links are not followed."""
    h5py = _h5py()
    found: dict[str, Any] = {}
    num_seen = 0

    def keep(key: str, item: Any) -> bool | None:
        nonlocal num_seen
        num_seen += 1
        if isinstance(item, h5py.Dataset):
            found[key] = item
        return num_seen >= _MAX_ARRAYS or None

    content.visititems(keep)
    in_order = sorted(found, key=lambda key: [natural_key(Path(part)) for part in key.split("/")])
    return {key: found[key] for key in in_order}


def _matching(file: Path, pattern: str) -> list[str]:
    """Return the paths of the arrays in a file that a path with `*` for some of its parts names."""
    wanted = pattern.split("/")

    def fits(key: str) -> bool:
        parts = key.split("/")
        return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))

    with suppress(SourceError), _open(file, file.name) as content:
        return [key for key in _arrays_in(content) if fits(key)]
    return []


def _listed(items: Sequence[str]) -> str:
    more = f", and {len(items) - _NUM_LISTED} more" if len(items) > _NUM_LISTED else ""
    return ", ".join(items[:_NUM_LISTED]) + more


def _may_be_frames(array: Any) -> bool:
    return array.dtype == np.uint8 and ((array.ndim in (4, 5) and array.shape[-1] == 3) or array.ndim == 2)


def _array(group: Any, key: str, name: str) -> Any | None:
    """Return the array of a name in an open file or group, or None.

    Raises:
        SourceError: its data are outside of the file, or its chunks are too large.
    """
    h5py = _h5py()
    link = group.get(key, getlink=True)
    if link is None:
        return None
    array = group[key] if isinstance(link, h5py.HardLink) else None
    if not isinstance(array, h5py.Dataset) or array.is_virtual or array.external:
        raise SourceError(f"{name}: '{key}' is not an array within this file; store the array itself")
    if math.prod(array.chunks or ()) * array.dtype.itemsize > _MAX_CHUNK_BYTES:
        raise SourceError(f"{name}: '{key}' has chunks of {array.chunks}, which are too large; store smaller ones")
    return array


def _check_frames(frames: Any, name: str) -> None:
    is_encoded = frames.ndim == 2
    if not _may_be_frames(frames):
        raise SourceError(
            f"{name}: the frames are {frames.dtype} {frames.shape}; store them as uint8 (T, H, W, 3) or (N, T, H, W, 3)"
        )
    lengths = frames.shape[:1] if is_encoded else frames.shape[:-3]
    if not 0 < min(lengths) <= max(lengths) <= _MAX_LENGTH:
        raise SourceError(f"{name}: an array of {frames.shape} is empty or too long; cut it into several files")
    if not is_encoded:
        require_bearable_size(name, width=frames.shape[-2], height=frames.shape[-3])


def _check_actions(actions: Any, frames: Any, name: str) -> None:
    lead = frames.shape[: max(1, frames.ndim - 3)]
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
        raise missing_package("reading HDF5 files", "h5py", "readers") from error
    return h5py

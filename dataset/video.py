"""One video on disk: a folder of numbered frame files with the annotations of every frame beside them.

    00000.png 00001.png ...     consecutive from 00000; .png, .jpg, .jpeg, .webp or .bmp, the same for all frames
    annotations.json            our layout: {"format_version": 1, "actions": [...], "rewards": [...],
                                "metadata": [...], "dones": [...]}, each list with one entry per frame
    actions.pkl rewards.pkl metadata.pkl dones.pkl
                                the same lists, instead of annotations.json, in the authors' layout
                                (docs/method.md#data-layout)

A video without any annotation file, or with a list of null (None), has unknown annotations. All files are taken for
untrusted: reading them runs no code and takes memory in proportion to their size. Other files in the folder are ignored
unless they look like frames.
"""

import os
import shlex
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

from dataset.annotations import ANNOTATIONS_FILE, FIELDS, Annotations, annotations_text, plain_entry, read_annotations
from utils.command import UserError, one_line
from utils.files import unfinished_folder

FRAME_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_FRAME_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_MAX_PIXELS = 2**26
_PNG_COMPRESSION = 1


class VideoError(UserError):
    """A video that cannot be read or written. The message names the path, what is wrong and the remedy."""


class Video:
    """A video that is opened for reading and whose names and annotations were found valid.

    Frames are decoded when asked for. Nothing but the path and the size is held, so that many thousand videos can be
    open and be handed to other processes.

    Attributes:
        path: The video's folder.
        num_frames: The number of frames, at least 1.
    """

    def __init__(self, path: Path | str) -> None:
        """Open the video in the folder `path` without decoding frames.

        Raises:
            VideoError: `path` is no folder or has no frames, frames are missing, surplus or of mixed extensions, or the
                annotations are refused.
        """
        self.path = Path(path)
        self.num_frames, self._suffix = _frame_files(self.path)
        self._size: tuple[int, int] | None = None
        self._read_annotations()

    def __len__(self) -> int:
        return self.num_frames

    @property
    def annotations(self) -> Annotations:
        """The annotations of all frames, read from disk at each access: take them once, not once per frame."""
        return self._read_annotations()

    def frame(self, index: int) -> Image.Image:
        """The frame `index` (0 to `num_frames` - 1) in RGB, 8 bits a channel.

        Transparent frames are composited on white, 16-bit grey is cut to its upper 8 bits, and EXIF orientation is left
        alone.

        Raises:
            IndexError: there is no such frame.
            VideoError: the frame file is missing, damaged, larger than 2^26 pixels, or of another size than the frame
                that was read first.
        """
        if not 0 <= index < self.num_frames:
            raise IndexError(f"{self.path}: frame {index} of {self.num_frames}")
        file = os.path.join(self.path, _frame_name(index, self._suffix))  # a third of the time of joining Paths
        try:
            with Image.open(file, formats=_FRAME_FORMATS) as image:
                size = _checked_size(image, self._size)
                frame = to_rgb(image)
        except Exception as error:  # decoders meet damaged files with exceptions of many kinds
            raise VideoError(
                f"{file}: the frame cannot be used: {one_line(error)}; write it again or remove the video"
            ) from error
        self._size = size
        return frame

    def _read_annotations(self) -> Annotations:
        try:
            return read_annotations(self.path, self.num_frames)
        except UserError as error:
            raise VideoError(str(error)) from error


class VideoWriter:
    """Writes a video frame by frame, as PNG files and an `annotations.json`.

        with VideoWriter("videos/train/00000") as writer:
            writer.append(frame, action=2, reward=1.0, metadata={"score": 3}, done=False)

    The folder appears when the `with` block is left without an exception; until then the frames are in the hidden
    folder `.00000.unfinished` beside it. An exception removes that folder. If the process is killed it stays, and is
    replaced when the same video is written again.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._columns: dict[str, list[Any]] = {field: [] for field in FIELDS}
        self._size: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        self._refuse_existing_target()
        self._folder = ExitStack()
        self._unfinished = self._folder.enter_context(unfinished_folder(self.path))
        return self

    def __exit__(
        self, exception_type: type[BaseException] | None, exception: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._folder:
            if exception_type is None:
                self._finish()

    def append(
        self,
        frame: np.ndarray | Image.Image,
        action: int | np.integer | None = None,
        reward: float | np.number | None = None,
        metadata: dict[str, Any] | None = None,
        done: bool | np.bool_ | None = None,
    ) -> None:
        """Write the next frame and keep what is known about it.

        Args:
            frame: RGB, uint8 (height, width, 3), or a Pillow image, converted as `Video.frame` describes. All frames
                have the same size.
            action: The action chosen at this frame, a whole number of 64 bits.
            reward: The finite reward for that action.
            metadata: JSON values, numpy scalars and arrays under string keys; numbers that are not finite become None.
            done: Whether an episode ends with that action.

        What is None must be None for all frames of the video, and is then unknown.

        Raises:
            VideoError: the frame or an annotation is not of that kind. Nothing was written then.
        """
        index = len(self._columns["actions"])
        try:
            image = _as_image(frame)
            size = _checked_size(image, self._size)
            known = dict(zip(FIELDS, (action, reward, metadata, done), strict=True))
            entries = {field: plain_entry(field, value) for field, value in known.items()}
        except ValueError as error:
            raise VideoError(
                f"{self.path}: frame {index} cannot be written: {error}; correct what is appended"
            ) from error
        image.save(self._unfinished / _frame_name(index, ".png"), compress_level=_PNG_COMPRESSION)
        self._size = size
        for field, entry in entries.items():
            self._columns[field].append(entry)

    def _finish(self) -> None:
        if self._size is None:
            raise VideoError(f"{self.path}: a video needs at least one frame; append some")
        try:
            text = annotations_text(self._columns)
        except ValueError as error:
            raise VideoError(f"{self.path}: {error}") from error
        (self._unfinished / ANNOTATIONS_FILE).write_text(text, encoding="ascii")
        self._refuse_existing_target()
        self._unfinished.rename(self.path)

    def _refuse_existing_target(self) -> None:
        if os.path.lexists(self.path):
            raise VideoError(f"{self.path}: already exists; remove it or choose another folder")


def write_video(
    path: Path | str, frames: Iterable[np.ndarray | Image.Image], annotations: Annotations | None = None
) -> None:
    """Write a whole video with a `VideoWriter`, which says what frames and annotations may be.

    `frames` is consumed one frame at a time. Without `annotations` all are unknown.

    Raises:
        VideoError: the folder `path` exists, there are no frames, a frame or annotation is refused, or there are not as
            many annotations as frames. Nothing is left behind then.
    """
    with VideoWriter(path) as writer:
        if annotations is None:
            for frame in frames:
                writer.append(frame)
            return
        actions = annotations.actions if annotations.actions_are_known else [None] * len(annotations)
        rows = zip(actions, annotations.rewards, annotations.metadata, annotations.dones, strict=True)
        for frame, row in zip_longest(frames, rows):
            if frame is None or row is None:
                raise VideoError(f"{path}: there are not as many annotations as frames; give one of each per frame")
            writer.append(frame, *row)


def _frame_name(index: int, suffix: str) -> str:
    return f"{index:05d}{suffix}"


def _frame_files(folder: Path) -> tuple[int, str]:
    """The number of frame files in the folder of a video and their extension, as it is spelled."""
    try:
        with os.scandir(folder) as entries:
            names = {entry.name for entry in entries if is_frame(entry)}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VideoError(f"{folder}: there is no such folder; give the folder of a video") from error
    if not names:
        raise VideoError(f"{folder}: holds no frames; put 00000.png, 00001.png, ... there")
    suffixes = sorted({os.path.splitext(name)[1] for name in names})
    if len(suffixes) > 1:
        raise VideoError(f"{folder}: mixes frames named {' and '.join(suffixes)}; convert them to one kind")
    expected = {_frame_name(index, suffixes[0]) for index in range(len(names))}
    if names != expected:
        raise VideoError(
            f"{folder}: {min(expected - names)} is missing and {min(names - expected)} is out of sequence; "
            f"{_renumbering(folder, names)}number the frames from 00000 on without gaps and keep no other pictures "
            "there"
        )
    return len(names), suffixes[0]


def _renumbering(folder: Path, names: set[str]) -> str:
    """How to number frames that are without gaps, but count from another number or with fewer digits."""
    numbers = sorted(int(stem) if (stem := os.path.splitext(name)[0]).isdecimal() else -1 for name in names)
    first = numbers[0]
    if first < 0 or numbers != list(range(first, first + len(numbers))):
        return ""
    footage = shlex.quote(str(folder.parent))
    return f"they count from {first}: let python -m dataset.acquisition.prepare --videos {footage} number them, or "


def is_frame(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry of the folder of a video is a frame, by its name; broken and circular links are none."""
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix not in FRAME_SUFFIXES or entry.name.startswith("."):
        return False
    return entry.is_file(follow_symlinks=False) or os.path.isfile(entry.path)


def _checked_size(image: Image.Image, expected: tuple[int, int] | None) -> tuple[int, int]:
    """The width and height of `image`, before its pixels are decoded."""
    if not 0 < image.width * image.height <= _MAX_PIXELS:
        raise ValueError(f"its {image.width} x {image.height} pixels are none or too many")
    if expected not in (None, image.size):
        raise ValueError(f"its size {image.size} differs from the size {expected} of the frames before")
    return image.size


def _as_image(frame: np.ndarray | Image.Image) -> Image.Image:
    if isinstance(frame, Image.Image):
        return to_rgb(frame)
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError("it is neither a Pillow image nor a uint8 array of the shape (height, width, 3)")
    return Image.fromarray(frame)


def to_rgb(image: Image.Image) -> Image.Image:
    """An image in RGB, 8 bits a channel: transparency composited on white, 16-bit grey cut to its upper 8 bits."""
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        is_transparent = grey == image.info.get("transparency")
        return Image.fromarray(np.where(is_transparent, 255, grey >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, "white")
        canvas.paste(rgba, mask=rgba)
        return canvas
    if image.mode == "RGB":
        image.load()
        return image
    return image.convert("RGB")

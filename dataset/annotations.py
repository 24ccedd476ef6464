"""What is known about the frames of a video: read from files beside them, checked and written (`dataset.video`)."""

import json
import math
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from dataset import restricted_pickle
from utils.command import UserError, one_line

ANNOTATIONS_FILE = "annotations.json"
FORMAT_VERSION = 1
MAX_BYTES = 2**25
_MAX_METADATA_DEPTH = 32
FIELDS = {
    "actions": "a whole number of 64 bits",
    "rewards": "a finite number",
    "metadata": "a dict",
    "dones": "a bool",
}
_PICKLE_FILES = [f"{field}.pkl" for field in FIELDS]


@dataclass
class Annotations:
    """What is known about the frames of a video, one entry per frame in each list."""

    actions: list[int]
    """The action chosen at the frame, 64-bit; 0 if unknown."""
    rewards: list[float]
    """The finite reward for that action; 0.0 if unknown."""
    metadata: list[dict[str, Any]]
    """JSON values under string keys, None for numbers that are not finite; {} if unknown."""
    dones: list[bool]
    """Whether an episode ends with this frame's action; False if unknown."""
    actions_are_known: bool = True
    """Whether `actions` are true ones."""

    def __post_init__(self) -> None:
        lengths = {len(self.actions), len(self.rewards), len(self.metadata), len(self.dones)}
        if len(lengths) > 1:
            raise ValueError(f"the lists of annotations are {sorted(lengths)} long; each needs one entry per frame")

    def __len__(self) -> int:
        return len(self.actions)

    @classmethod
    def unknown(cls, num_frames: int) -> Self:
        """Annotations that say nothing about `num_frames` frames."""
        metadata: list[dict[str, Any]] = [{} for _ in range(num_frames)]
        return cls([0] * num_frames, [0.0] * num_frames, metadata, [False] * num_frames, actions_are_known=False)


def read_annotations(folder: Path, num_frames: int) -> Annotations:
    """The annotations of all frames of the video in a folder.

    Raises:
        UserError: they are refused; the message names the folder or file, what is wrong and the remedy.
    """
    present = [name for name in (ANNOTATIONS_FILE, *_PICKLE_FILES) if (folder / name).is_file()]
    if not present:
        return Annotations.unknown(num_frames)
    if present not in ([ANNOTATIONS_FILE], _PICKLE_FILES):
        raise UserError(
            f"{folder}: holds {', '.join(present)}; keep either {ANNOTATIONS_FILE} or all of {', '.join(_PICKLE_FILES)}"
        )
    try:
        if present == [ANNOTATIONS_FILE]:
            stored = _load_json(folder / ANNOTATIONS_FILE)
        else:
            stored = {field: restricted_pickle.load(folder / f"{field}.pkl") for field in FIELDS}
        columns = {field: _column(field, stored[field], num_frames) for field in FIELDS}
        known = {field: column for field, column in columns.items() if column is not None}
        return replace(Annotations.unknown(num_frames), **known, actions_are_known="actions" in known)
    except restricted_pickle.RestrictedPickleError:
        raise
    except ValueError as error:
        raise UserError(
            f"{folder}: {one_line(error)}; correct the annotations, or remove {', '.join(present)} to have them unknown"
        ) from error


def annotations_text(columns: Mapping[str, list[Any]]) -> str:
    """The contents of an `annotations.json`.

    Args:
        columns: for each of `FIELDS` the `plain_entry` of every frame.

    Raises:
        ValueError: a field is known for some frames only, or the text is longer than would be read back.
    """
    try:
        for field, entries in columns.items():
            _is_known(field, entries)
    except ValueError as error:
        raise ValueError(f"{error}; append them with every frame or with none") from error
    lines = [f'"format_version": {FORMAT_VERSION}']
    lines += [f'"{field}": {json.dumps(entries)}' for field, entries in columns.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    if len(text) > MAX_BYTES:
        raise ValueError(
            f"the annotations take {len(text)} bytes, but only {MAX_BYTES} would be read back; keep less metadata or "
            "cut the video"
        )
    return text


def _load_json(file: Path) -> dict[str, Any]:
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"{file.name} is larger than {MAX_BYTES} bytes")
    try:
        stored = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file.name} is not valid JSON: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{file.name} is nested too deep") from error
    if not isinstance(stored, dict) or stored.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{file.name} does not say format_version {FORMAT_VERSION}, the one that can be read")
    if stored.keys() != {"format_version", *FIELDS}:
        raise ValueError(f"{file.name} has other entries than format_version, {', '.join(FIELDS)}")
    return stored


def _column(field: str, stored: Any, num_frames: int) -> list[Any] | None:
    """The entries of one annotation for all frames, in plain Python types; None if they are unknown."""
    if isinstance(stored, np.ndarray):
        stored = stored.tolist()
    if not isinstance(stored, list | tuple):
        raise ValueError(f"{field} is a {type(stored).__name__} instead of a list with one entry per frame")
    if len(stored) != num_frames:
        raise ValueError(f"{field} has {len(stored)} entries for {num_frames} frames")
    entries = []
    for index, value in enumerate(stored):
        try:
            entries.append(plain_entry(field, value))
        except ValueError as error:
            raise ValueError(f"frame {index}: {error}") from error
    return entries if _is_known(field, entries) else None


def _is_known(field: str, entries: list[Any]) -> bool:
    """Whether one annotation is known for all frames and not for none; `ValueError` if it is for some."""
    num_unknown = entries.count(None)
    if 0 < num_unknown < len(entries):
        raise ValueError(f"{field} are known for some frames and unknown (None) for others")
    return not num_unknown


def plain_entry(field: str, value: Any) -> Any:
    """The value of one annotation of one frame in plain Python types, None if it is unknown."""
    if value is None:
        return None
    match field, _plain(value):
        case "dones", bool() as done:
            return done
        case _, bool():
            pass
        case "actions", int() as action if -(2**63) <= action < 2**63:
            return action
        case "rewards", int() | float() as reward if abs(reward) <= sys.float_info.max:
            return float(reward)
        case "metadata", dict() as metadata:
            return metadata
    raise ValueError(f"{field} hold {reprlib.repr(value)}, which is not {FIELDS[field]}")


def _plain(value: Any, depth: int = 0) -> Any:
    """`value` in the types that JSON knows: numpy arrays become lists, and numbers that are not finite become None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth == _MAX_METADATA_DEPTH:
        raise ValueError(f"it is nested more than {_MAX_METADATA_DEPTH} deep")
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a dict has keys that are not strings")
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    raise ValueError(f"a {type(value).__name__} is not a JSON value")

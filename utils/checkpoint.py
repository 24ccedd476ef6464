"""Read and write checkpoints: writing is atomic, and reading runs no code from the file.

A checkpoint is a dict with the published keys `model`, `optimizer`, `lr_scheduler`, `step` and `mi_estimator`, and with
`config`, `random_state`, `data_state`, `starting_frames` and `format_version` in addition (docs/method.md#checkpoints).
A released checkpoint may also hold `action_names` and `real_time_fps` for play, which `playing/hints.py` describes.
A shared one is a folder (`utils.shared_model`), which is read as a checkpoint too, by the path of its weights.
"""

import io
import math
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from utils.command import UserError
from utils.configuration import Configuration, parse_configuration
from utils.files import replacing
from utils.hub import PREFIX, HubAddress, download
from utils.sections import ConfigurationError
from utils.shared_model import SUFFIX, WEIGHTS, read_shared_model
from utils.shipped import ROOT

FORMAT_VERSION = 1
LATEST = "latest.pth.tar"


class CheckpointError(UserError):
    """A checkpoint that cannot be read or written, or that belongs to another model."""


def find_checkpoint(text: str | Path) -> Path:
    """Return the file of that path, else the latest checkpoint in that folder, else that of the shipped run.

    That of a folder which was shared is its weights. `hub:owner/name` is fetched from the Hub (`utils.hub`).

    Raises:
        CheckpointError: there is none of them.
        UserError: it cannot be fetched.
    """
    if str(text).startswith(PREFIX):
        return download(HubAddress.of(str(text))) / WEIGHTS
    path = Path(text)
    if path.is_file():
        return path
    for name in (LATEST, WEIGHTS):
        if (path / name).is_file():
            return path / name
    shipped = {file.parent.name: file for file in sorted(ROOT.glob(f"checkpoints/*/{LATEST}"))}
    if str(text) in shipped:
        return shipped[str(text)]
    names = f", or the name of a run that comes with the project: {', '.join(shipped)}" if shipped else ""
    raise CheckpointError(
        f"{path}: no such checkpoint; give the path of a {LATEST}, or of its folder, {PREFIX}owner/name{names}"
    )


def is_shared(path: Path) -> bool:
    """Whether the checkpoint at `path` is one that was shared, which is only read."""
    return path.suffix == SUFFIX


def stored_configuration(checkpoint: dict[str, Any], path: Path, overrides: list[str] | None = None) -> Configuration:
    """Return the configuration in a checkpoint that was loaded from `path`, with `section.key=value` overrides.

    Raises:
        CheckpointError: it has none, as the authors' have.
        ConfigurationError: an override cannot be used.
    """
    if "config" not in checkpoint:
        raise CheckpointError(f"{path}: does not hold its configuration; name the YAML file of the run with --config")
    return parse_configuration(checkpoint["config"], str(path), overrides)


def checkpoint_name(step: int) -> str:
    """File name of the checkpoint kept for a step."""
    return f"checkpoint_{step}.pth.tar"


def save_checkpoint(path: Path, contents: dict[str, Any]) -> None:
    """Write a checkpoint to a temporary file, flush it to disk, and rename it over the old one.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; an older checkpoint at `path` is intact.
    """
    serialized = io.BytesIO()  # writing to the disk directly, torch would hide why that failed
    torch.save({**contents, "format_version": FORMAT_VERSION}, serialized)
    try:
        with replacing(path) as file:
            file.write(serialized.getbuffer())
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be saved ({error.strerror}); checkpoints saved before are intact: make room or mend the "
            "folder, then run the same command again"
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint, ours, the authors' or a shared one, into CPU memory without running code from it.

    A bare state dict, or one called `state_dict`, is returned as `model`. The names of weights are those of the model
    itself, without the `module.` and `_orig_mod.` that `DataParallel` and `torch.compile` add.

    Raises:
        CheckpointError: no such file, or it is damaged or no checkpoint; the message names the newest intact one in the
            same folder.
    """
    try:
        return _read(path)
    except CheckpointError as error:
        if is_shared(path):
            raise CheckpointError(f"{error}; copy or download its folder again") from error
        intact = newest_intact_checkpoint(path.parent, path)
        remedy = (
            f"the newest intact checkpoint is {intact}: copy it to {path.name} to go on from there"
            if intact
            else "no intact checkpoint lies beside it: move the damaged ones away to start from the beginning"
        )
        raise CheckpointError(f"{error}; {remedy}") from error


def newest_intact_checkpoint(directory: Path, excluded: Path | None = None) -> Path | None:
    """Find the readable checkpoint with the most steps in a folder, by file name, except `excluded`."""

    def steps(path: Path) -> float:
        number = re.fullmatch(r"checkpoint_(\d+)\.pth\.tar", path.name)
        return int(number[1]) if number else math.inf if path.name == LATEST else -1

    for path in sorted(directory.glob("*.pth.tar"), key=steps, reverse=True):
        if path != excluded:
            try:
                _read(path)
            except CheckpointError:
                continue
            return path
    return None


def load_model_weights(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Copy a checkpoint's weights into a model.

    Raises:
        CheckpointError: names or shapes differ; the message lists the first few.
    """
    own = model.state_dict()
    problems = [f"{name} is missing" for name in own if name not in weights]
    problems += [f"{name} is not of this model" for name in weights if name not in own]
    problems += [
        f"{name} is {list(weights[name].shape)} there and {list(own[name].shape)} here"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    if problems:
        listed = "; ".join(problems[:4]) + (f"; and {len(problems) - 4} more" if len(problems) > 4 else "")
        raise CheckpointError(
            f"{path}: made with another configuration ({listed}); use the one that it was made with, or choose another "
            "logging.run_name"
        )
    model.load_state_dict(weights)


def _read(path: Path) -> dict[str, Any]:
    try:
        if is_shared(path):
            contents = read_shared_model(path)
        else:
            _check_members(path)
            with torch.serialization.safe_globals(_NUMPY_SCALARS):
                contents = torch.load(path, map_location="cpu", weights_only=True)
    except ConfigurationError:
        raise
    except (FileNotFoundError, PermissionError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # a damaged or malicious file can make the reader fail in any way
        raise CheckpointError(f"{path}: damaged, or not a checkpoint") from error
    if _is_state_dict(contents):
        contents = {"model": contents}
    elif isinstance(contents, dict) and "model" not in contents and "state_dict" in contents:
        contents = {"model" if name == "state_dict" else name: value for name, value in contents.items()}
    if not (isinstance(contents, dict) and _is_state_dict(contents.get("model"))):
        raise CheckpointError(f"{path}: not a checkpoint of this project (it has no 'model')")
    version = contents.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{path}: written by another version of this project (format {version})")
    contents["model"] = _unwrapped(contents["model"])
    return contents


def _unwrapped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by the names that they have in the model itself."""
    named = {name.replace("_orig_mod.", ""): weight for name, weight in weights.items()}
    if all(name.startswith("module.") for name in named):
        named = {name.removeprefix("module."): weight for name, weight in named.items()}
    return named


class _ScalarType:
    """Stands in for `numpy.dtype` where the type of a number is read."""

    def __init__(self, code: str, *_: object) -> None:
        self._dtype = np.dtype(str(code))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._dtype = self._dtype.newbyteorder(state[1])

    def number(self, data: bytes) -> Any:
        """The number in `data`.

        Raises:
            ValueError: it is of another type.
        """
        if self._dtype.kind not in "biufc":
            raise ValueError(f"{self._dtype} is no type of numbers")
        return np.frombuffer(data, self._dtype).item()


def _scalar(dtype: _ScalarType, data: bytes) -> Any:
    """Stands in for the function with which numpy restores scalars; returns a plain number."""
    return dtype.number(data)


_NUMPY_SCALARS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_ScalarType, "numpy.dtype"),
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
]


def _check_members(path: Path) -> None:
    """Verify that nothing is compressed, and the checksums, which torch does not check itself; older files have none.

    Torch compresses nothing: what is compressed may take any amount of memory.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("it is compressed")
            if damaged := archive.testzip():
                raise ValueError(f"the checksum of {damaged} differs")


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(tensor, Tensor) for tensor in value.values())

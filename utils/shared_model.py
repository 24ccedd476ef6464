"""A trained model as a folder to give away: weights in safetensors, configuration, starting frames, a model card.

Reading it runs no code of the folder, and takes no more memory than its files are large.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save

from utils.sections import dump_yaml, parse_yaml

SUFFIX = ".safetensors"

WEIGHTS = f"model{SUFFIX}"
CONFIGURATION = "config.yaml"
STARTING_FRAMES = "starting_frames"
"""The checkpoint entry with the starting frames: uint8 (N, S, H, W, 3)."""
STARTS = f"{STARTING_FRAMES}{SUFFIX}"
CARD = "README.md"
ANIMATION = "play.gif"

FILES = (WEIGHTS, CONFIGURATION, STARTS, CARD, ANIMATION)
"""All files that the folder may have."""

NOTES = ("step", "action_names", "real_time_fps", "format_version")
"""Entries of a checkpoint that are plain values; they are stored as JSON in the header of the weights."""

HEADER_ENTRY = "playable_video"

MAX_HEADER_BYTES = 10_000_000
"""Of a file in safetensors: 100 000 weights."""

MAX_CONFIGURATION_BYTES = 1_000_000


def write_shared_model(folder: Path, contents: dict[str, Any]) -> None:
    """Write a checkpoint into a folder that exists, all but the card and the animation.

    Args:
        folder: where the files go.
        contents: `model` and `config` as a checkpoint has them, and, if known, `starting_frames` and those of `NOTES`.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    weights = {name: weight.detach().contiguous().clone() for name, weight in contents["model"].items()}
    notes = {name: contents[name] for name in NOTES if name in contents}
    (folder / WEIGHTS).write_bytes(save(weights, {HEADER_ENTRY: json.dumps(notes)}))
    (folder / CONFIGURATION).write_text(dump_yaml(contents["config"], allow_unicode=True), encoding="utf-8")
    if STARTING_FRAMES in contents:
        (folder / STARTS).write_bytes(save({STARTING_FRAMES: contents[STARTING_FRAMES].contiguous()}))


def read_shared_model(path: Path) -> dict[str, Any]:
    """Return the checkpoint whose weights are at `path`; the other files lie beside it, if there are any.

    Raises:
        ConfigurationError: the configuration is not YAML.
        OSError: a file cannot be read.
        Exception: of any kind, if a file is damaged.
    """
    weights, notes = _read_tensors(path)
    contents = {name: notes[name] for name in NOTES if name in notes} | {"model": weights}
    configuration = path.with_name(CONFIGURATION)
    if configuration.exists():
        contents["config"] = _read_configuration(configuration)
    starts = path.with_name(STARTS)
    if starts.exists():
        contents[STARTING_FRAMES] = _read_tensors(starts)[0][STARTING_FRAMES]
        _require_stacks(contents[STARTING_FRAMES])
    return contents


def _read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors in a file by name, and the notes in its header."""
    with path.open("rb") as file:
        if int.from_bytes(file.read(8), "little") > MAX_HEADER_BYTES:
            raise ValueError("its header is too large")
    with safe_open(path, framework="pt") as tensors:
        notes = json.loads((tensors.metadata() or {}).get(HEADER_ENTRY, "{}"))
        return {name: tensors.get_tensor(name) for name in tensors.keys()}, dict(notes)  # noqa: SIM118


def _read_configuration(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_CONFIGURATION_BYTES:
        raise ValueError("the configuration is too large")
    values = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(values, dict):
        raise TypeError("the configuration has no sections")
    return values


def _require_stacks(starts: torch.Tensor) -> None:
    if starts.dtype != torch.uint8 or starts.ndim != 5 or starts.shape[-1] != 3 or not starts.numel():
        raise ValueError("the starting frames are no pictures")

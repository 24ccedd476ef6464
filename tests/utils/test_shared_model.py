"""A model's folder of plain files: what is written is read, and what a stranger made of it does no harm."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from utils.checkpoint import CheckpointError, find_checkpoint, load_checkpoint, stored_configuration
from utils.configuration import load_configuration
from utils.shared_model import (
    CONFIGURATION,
    HEADER_ENTRY,
    MAX_CONFIGURATION_BYTES,
    STARTING_FRAMES,
    STARTS,
    WEIGHTS,
    write_shared_model,
)

CONFIG = load_configuration("00_breakout_demo")
CONTENTS: dict[str, Any] = {
    "model": {"weight": torch.arange(6.0).view(2, 3).T, "half": torch.ones(2).half(), "count": torch.tensor(3)},
    "config": CONFIG.model_dump(mode="json"),
    "step": 7,
    "action_names": ["left", "stay", "réchts"],
    STARTING_FRAMES: torch.arange(96, dtype=torch.uint8).view(2, 1, 4, 4, 3),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shared_model(tmp_path, CONTENTS | {"optimizer": {"state": {}}})
    return tmp_path


def assert_same(ours: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == others.keys()
    assert all(ours[name].dtype == others[name].dtype and torch.equal(ours[name], others[name]) for name in ours)


def test_what_is_written_is_read(folder: Path) -> None:
    path = find_checkpoint(folder)
    assert path == find_checkpoint(folder / WEIGHTS) == folder / WEIGHTS
    found = load_checkpoint(path)
    assert found.keys() == CONTENTS.keys()
    assert (found["step"], found["action_names"]) == (7, ["left", "stay", "réchts"])
    assert_same(found["model"], CONTENTS["model"])
    assert_same({"": found[STARTING_FRAMES]}, {"": CONTENTS[STARTING_FRAMES]})
    assert stored_configuration(found, path) == CONFIG


def test_weights_alone_are_a_checkpoint(folder: Path) -> None:
    for name in (CONFIGURATION, STARTS):
        (folder / name).unlink()
    (folder / WEIGHTS).write_bytes(save({"module.weight": torch.ones(2)}))
    found = load_checkpoint(folder / WEIGHTS)
    assert found.keys() == {"model"}
    assert found["model"].keys() == {"weight"}


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        (WEIGHTS, b""),
        (WEIGHTS, (1 << 60).to_bytes(8, "little") + b"{}"),
        (WEIGHTS, (11_000_000).to_bytes(8, "little") + b" " * 11_000_000),
        (WEIGHTS, save({})),
        (WEIGHTS, save({"a": torch.ones(2)}, {HEADER_ENTRY: "[" * 100_000})),
        (WEIGHTS, save({"a": torch.ones(2)}, {HEADER_ENTRY: "3"})),
        (WEIGHTS, save({"a": torch.ones(2)}, {HEADER_ENTRY: json.dumps({"format_version": 9})})),
        (CONFIGURATION, b"a: 1\n" * MAX_CONFIGURATION_BYTES),
        (CONFIGURATION, b"\xff"),
        (CONFIGURATION, b"3"),
        (STARTS, save({"other": torch.ones(2)})),
        (STARTS, save({STARTING_FRAMES: torch.ones(2, 1, 4, 4, 3)})),
        (STARTS, save({STARTING_FRAMES: torch.zeros(0, 1, 4, 4, 3, dtype=torch.uint8)})),
        (STARTS, save({STARTING_FRAMES: torch.zeros(4, 4, 3, dtype=torch.uint8)})),
    ],
)
def test_what_is_damaged_or_foreign_is_refused(folder: Path, name: str, contents: bytes) -> None:
    (folder / name).write_bytes(contents)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: .*; copy or download its folder again$"):
        load_checkpoint(folder / WEIGHTS)


@pytest.mark.parametrize("length", [1, 7, 9, 100, -1])
def test_what_is_cut_off_is_refused(folder: Path, length: int) -> None:
    for name in (WEIGHTS, STARTS):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(folder / WEIGHTS)
        (folder / name).write_bytes(whole)


def test_a_configuration_runs_nothing(folder: Path) -> None:
    (folder / CONFIGURATION).write_text(f"a: !!python/object/apply:os.mkdir ['{folder}/trap']")
    with pytest.raises(ValueError, match=r"config\.yaml: not readable as YAML"):
        load_checkpoint(folder / WEIGHTS)
    assert "trap" not in os.listdir(folder)

import io
import os
import pickle
import random
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.faults import file_size_limit
from utils.checkpoint import (
    LATEST,
    CheckpointError,
    checkpoint_name,
    load_checkpoint,
    load_model_weights,
    newest_intact_checkpoint,
    save_checkpoint,
)

CONTENTS = {
    "model": {"weight": torch.arange(6.0).view(2, 3), "steps": torch.tensor(3)},
    "optimizer": {"state": {0: {"step": 7}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    "lr_scheduler": {"milestones": Counter({300: 1})},
    "step": 7,
}


class Malicious:
    """Runs code where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.file),)


def torch_bytes(value: object, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def zip_bytes(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, contents in files.items():
            archive.writestr(name, contents)
    return buffer.getvalue()


INTACT = torch_bytes(CONTENTS)
INTACT_LEGACY = torch_bytes(CONTENTS, legacy=True)

FOREIGN = {
    "empty": b"",
    "text": b"model: none\n",
    "random bytes": random.Random(0).randbytes(5000),
    "zip of something": zip_bytes(readme=b"hello"),
    "zip that pretends": zip_bytes(**{"archive/data.pkl": b"\x80\x02}q\x00.", "archive/version": b"3\n"}),
    "list": torch_bytes([1, 2, 3]),
    "tensor": torch_bytes(torch.zeros(3)),
    "without model": torch_bytes({"step": 3}),
    "model of numbers": torch_bytes({"model": {"weight": 1.0}}),
    "empty dict": torch_bytes({}),
    "whole module": torch_bytes({"model": nn.Linear(2, 2)}),
    "deep nesting": b"\x80\x02" + b"(" * 100_000 + b".",
    "memory bomb": b"\x80\x02" + b"X\xff\xff\xff\xff" + b"a",
    "other pickle": pickle.dumps({"model": {"weight": 1}}, protocol=2),
    "newer format": torch_bytes({**CONTENTS, "format_version": 99}),
}


def test_contents_come_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / LATEST
    save_checkpoint(path, CONTENTS)
    loaded = load_checkpoint(path)
    assert loaded.keys() == CONTENTS.keys() | {"format_version"}
    assert torch.equal(loaded["model"]["weight"], CONTENTS["model"]["weight"])  # type: ignore[index]
    assert loaded["lr_scheduler"] == CONTENTS["lr_scheduler"]
    assert [file.name for file in path.parent.iterdir()] == [LATEST]


@pytest.mark.parametrize("stored", [INTACT, INTACT_LEGACY], ids=["zip", "legacy"])
def test_both_serializations_are_read(tmp_path: Path, stored: bytes) -> None:
    (tmp_path / LATEST).write_bytes(stored)
    assert load_checkpoint(tmp_path / LATEST)["step"] == 7


def test_a_bare_state_dict_is_a_model(tmp_path: Path) -> None:
    torch.save(CONTENTS["model"], tmp_path / LATEST)
    assert load_checkpoint(tmp_path / LATEST).keys() == {"model"}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("entry", ["model", "state_dict", None])
def test_weights_of_a_wrapped_model_have_their_own_names(tmp_path: Path, prefix: str, entry: str | None) -> None:
    weights = {prefix + name: weight for name, weight in nn.Linear(2, 3).state_dict().items()}
    torch.save(weights if entry is None else {entry: weights, "epoch": 3}, tmp_path / LATEST)
    loaded = load_checkpoint(tmp_path / LATEST)
    load_model_weights(nn.Linear(2, 3), loaded["model"], tmp_path / LATEST)
    assert loaded.keys() == ({"model"} if entry is None else {"model", "epoch"})


def test_a_part_of_a_model_may_be_called_module(tmp_path: Path) -> None:
    weights = {"module.weight": torch.zeros(2), "bias": torch.zeros(2)}
    torch.save(weights, tmp_path / LATEST)
    assert load_checkpoint(tmp_path / LATEST)["model"].keys() == weights.keys()


@pytest.mark.parametrize("legacy", [False, True])
def test_numpy_scalars_are_read_as_numbers(tmp_path: Path, legacy: bool) -> None:
    scalars = {"loss": np.float32(0.5), "step": np.int64(-7), "best": np.bool_(True), "big": np.array(3, ">i4")[()]}
    (tmp_path / LATEST).write_bytes(torch_bytes({**CONTENTS, **scalars}, legacy))
    loaded = load_checkpoint(tmp_path / LATEST)
    numbers = {name: loaded[name] for name in scalars}
    assert numbers == {"loss": 0.5, "step": -7, "best": True, "big": 3}
    assert [type(number) for number in numbers.values()] == [float, int, bool, int]


@pytest.mark.parametrize("other", [np.zeros(2, object), np.zeros(2, "f8,i4")[0], np.str_("a")])
def test_numpy_values_that_are_no_numbers_are_refused(tmp_path: Path, other: Any) -> None:
    torch.save({**CONTENTS, "best": other}, tmp_path / LATEST)
    with pytest.raises(CheckpointError, match="damaged, or not a checkpoint"):
        load_checkpoint(tmp_path / LATEST)


@pytest.mark.parametrize("stored", [INTACT, INTACT_LEGACY], ids=["zip", "legacy"])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_a_torn_file_is_refused(tmp_path: Path, stored: bytes, share: float) -> None:
    (tmp_path / LATEST).write_bytes(stored[: int(share * len(stored))])
    with pytest.raises(CheckpointError, match=f"{LATEST}: damaged, or not a checkpoint; no intact checkpoint lies"):
        load_checkpoint(tmp_path / LATEST)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8])
def test_lost_pages_and_flipped_bits_are_noticed(tmp_path: Path, share: float) -> None:
    weight = CONTENTS["model"]["weight"].numpy().tobytes()  # type: ignore[index]
    place = INTACT.index(weight) + 5
    flipped = INTACT[:place] + bytes([INTACT[place] ^ 1]) + INTACT[place + 1 :]
    cut = int(share * len(INTACT))
    for stored in (flipped, INTACT[:cut] + bytes(len(INTACT) - cut)):
        (tmp_path / LATEST).write_bytes(stored)
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(tmp_path / LATEST)


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / LATEST).write_bytes(FOREIGN[name])
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path / LATEST))) as refusal:
        load_checkpoint(tmp_path / LATEST)
    assert "\n" not in str(refusal.value)
    assert (tmp_path / LATEST).read_bytes() == FOREIGN[name]


@pytest.mark.parametrize("legacy", [False, True])
def test_no_code_of_a_file_runs(tmp_path: Path, legacy: bool) -> None:
    contents = {**CONTENTS, "config": Malicious(tmp_path / "run")}
    (tmp_path / LATEST).write_bytes(torch_bytes(contents, legacy))
    with pytest.raises(CheckpointError, match="damaged, or not a checkpoint"):
        load_checkpoint(tmp_path / LATEST)
    assert not (tmp_path / "run").exists()


def test_what_is_compressed_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", None)
    with zipfile.ZipFile(io.BytesIO(INTACT)) as stored, zipfile.ZipFile(tmp_path / LATEST, "w") as archive:
        for name in stored.namelist():
            archive.writestr(name, stored.read(name), zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="damaged, or not a checkpoint") as refusal:
        load_checkpoint(tmp_path / LATEST)
    assert refusal.value.__cause__ is not None
    assert "compressed" in str(refusal.value.__cause__.__cause__)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read \\(No such file"):
        load_checkpoint(tmp_path / LATEST)
    (tmp_path / LATEST).mkdir()
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(tmp_path / LATEST)


def test_the_newest_intact_checkpoint_is_offered(tmp_path: Path) -> None:
    for step in (900, 1000, 20):
        save_checkpoint((tmp_path / checkpoint_name(step)), CONTENTS)
    save_checkpoint(tmp_path / "mine.pth.tar", CONTENTS)
    (tmp_path / checkpoint_name(3000)).write_bytes(INTACT[:-100])
    (tmp_path / LATEST).write_bytes(INTACT[:1000])
    (tmp_path / f".{LATEST}.unfinished").write_bytes(INTACT)
    with pytest.raises(CheckpointError, match=f"{tmp_path}/checkpoint_1000.pth.tar: copy it to {LATEST} to go on"):
        load_checkpoint(tmp_path / LATEST)
    save_checkpoint(tmp_path / LATEST, CONTENTS)
    assert newest_intact_checkpoint(tmp_path) == tmp_path / LATEST
    assert newest_intact_checkpoint(tmp_path / "nowhere") is None


@pytest.mark.parametrize("limit", [0, 100, 1000, len(INTACT) - 1])
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, limit: int) -> None:
    path = tmp_path / LATEST
    path.write_bytes(INTACT)
    with (
        pytest.raises(CheckpointError, match=r"cannot be saved \(File too large\); checkpoints saved before are"),
        file_size_limit(limit),
    ):
        save_checkpoint(path, {**CONTENTS, "more": torch.zeros(1000)})
    assert [file.name for file in tmp_path.iterdir()] == [LATEST]
    assert path.read_bytes() == INTACT


def test_an_unwritable_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot be saved"):
        save_checkpoint(tmp_path / "file" / LATEST, CONTENTS)


def test_weights_must_be_those_of_the_model(tmp_path: Path) -> None:
    model, path = nn.Linear(2, 3), tmp_path / LATEST
    weights = {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}
    load_model_weights(model, weights, path)
    assert torch.equal(model.weight, weights["weight"])

    for wrong, problem in (
        ({"weight": weights["weight"]}, "bias is missing"),
        ({**weights, "extra": torch.zeros(1)}, "extra is not of this model"),
        ({**weights, "bias": torch.zeros(4)}, r"bias is \[4\] there and \[3\] here"),
        ({**weights, **{f"extra.{index}": torch.zeros(1) for index in range(9)}}, "and 5 more"),
    ):
        with pytest.raises(CheckpointError, match=f"{LATEST}: made with another configuration .*{problem}"):
            load_model_weights(model, wrong, path)
    assert torch.equal(model.bias, weights["bias"])

"""The export benchmark measures what it says, on tiny models."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import export
from model.caddy import Caddy
from tests.synthetic import square_configuration
from utils.checkpoint import LATEST, save_checkpoint
from web.operations import Cost


@pytest.fixture(autouse=True)
def _restore_threads() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(autouse=True)
def _without_naive_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "naive_cost", lambda _: Cost(operations=127, multiply_adds=9))


def report(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Any:
    """The results about the synthetic configuration."""
    arguments = ["--config", str(folder / "square.yaml"), "--json", str(folder / "report.json")]
    monkeypatch.setattr(sys, "argv", [export.__file__, *arguments, "--steps", "4", "--threads", "1"])
    export.main()
    written = json.loads((folder / "report.json").read_text())
    assert (written["benchmark"], written["configuration"]) == ("export", "square")
    return written["results"]


def test_report(square: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    results = report(monkeypatch, square)
    assert (results["steps"], results["threads"]) == (4, 1)
    assert results["frames_per_second"].keys() == {"pytorch", "onnxruntime"}
    assert all(rate > 0 for rate in results["frames_per_second"].values())
    assert results["float32"]["largest_difference"] < 1e-5
    assert results["float32"]["largest_difference"] < results["float16"]["largest_difference"] < 0.01
    assert results["float16"]["bytes"] < 0.7 * results["float32"]["bytes"]
    assert (results["operations"], results["naive_operations"], results["naive_multiply_adds"]) == (58, 127, 9)
    assert results["multiply_adds"] > 1e6
    path = square / "checkpoints" / "square" / LATEST
    assert results["weights"] == f"random ({path} is absent)"
    assert "a step: 58 operations; a naive export: 127" in capsys.readouterr().out


def test_frames_per_second_are_the_median_of_runs(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0, 0, 1, 4, 2, 5, 4, 6, 8, 7, 16, 8])  # two warm-ups, then each in turn
    monkeypatch.setattr(export, "step_seconds", lambda *_: torch.tensor([float(next(seconds))]))
    rates = export.measure(square_configuration(square), num_steps=60, num_threads=1)["frames_per_second"]
    assert rates == {"pytorch": 15.0, "onnxruntime": 10.0}


def test_measures_the_checkpoint_where_there_is_one(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = square_configuration(square)
    path = config.logging.save_directory / LATEST
    save_checkpoint(path, {"model": Caddy(config).state_dict()})
    assert report(monkeypatch, square)["weights"] == str(path)

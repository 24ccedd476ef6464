"""The export benchmark measures what it says, on tiny models."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import export
from benchmarks.browser import BrowserSpeed
from model.caddy import Caddy
from tests.runtimes import write_small_runtime
from tests.synthetic import SIDE, square_configuration
from utils.checkpoint import LATEST, save_checkpoint


@pytest.fixture(autouse=True)
def _restore_threads() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(autouse=True)
def _without_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that has none; `tests/web/test_page.py` measures in a real one."""
    monkeypatch.setattr(export, "missing_programs", lambda: ["chromium", "chromedriver"])


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
    assert (results["operations"], results["naive_operations"]) == (58, 127)
    assert 1e6 < results["multiply_adds"] < results["naive_multiply_adds"]
    assert results["browser"] == "not measured: chromium and chromedriver not installed"
    path = square / "checkpoints" / "square" / LATEST
    assert results["weights"] == f"random ({path} is absent)"
    assert "a step: 58 operations; a naive export: 127" in capsys.readouterr().out


def test_the_page_is_measured_where_there_is_a_browser(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(page: Path, num_steps: int) -> BrowserSpeed:
        game = json.loads((page / "game.json").read_text())
        assert (page / "runtime/ort.mjs").exists()
        return BrowserSpeed(num_steps * game["width"], "WebAssembly", "Chromium 1")

    write_small_runtime(square / "ort", monkeypatch)
    monkeypatch.setattr(export, "missing_programs", list)
    monkeypatch.setattr(export, "find_runtime", lambda: square / "ort")
    monkeypatch.setattr(export, "measure_in_browser", measured)
    results = report(monkeypatch, square)
    assert results["frames_per_second"]["browser"] == 4 * SIDE
    assert results["browser"] == "Chromium 1, WebAssembly"


def test_frames_per_second_are_the_median_of_runs(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0, 0, 1, 4, 2, 5, 4, 6, 8, 7, 16, 8])  # two warm-ups, then each in turn
    monkeypatch.setattr(export, "step_seconds", lambda *_: torch.tensor([float(next(seconds))]))
    rates = export.measure(square_configuration(square), num_steps=60, num_threads=1, runtime=None)["frames_per_second"]
    assert rates == {"pytorch": 15.0, "onnxruntime": 10.0}


def test_measures_the_checkpoint_where_there_is_one(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = square_configuration(square)
    path = config.logging.save_directory / LATEST
    save_checkpoint(path, {"model": Caddy(config).state_dict()})
    assert report(monkeypatch, square)["weights"] == str(path)

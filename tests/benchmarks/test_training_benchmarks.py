"""Options and scaling of training, on tiny configurations."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import options, scaling
from tests.configurations import MODELS, arguments_of
from training.costs import step_costs
from utils.configuration import load_configuration


def results(monkeypatch: pytest.MonkeyPatch, benchmark: Any, folder: Path, *arguments: str) -> Any:
    path = folder / "report.json"
    monkeypatch.setattr(sys, "argv", [benchmark.__file__, "--device", "cpu", "--json", str(path), *arguments])
    benchmark.main()
    return json.loads(path.read_text())["results"]


@pytest.mark.parametrize("overrides", MODELS.values(), ids=MODELS)
def test_every_option_of_every_configuration(
    square: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    monkeypatch.setattr(options, "OPTIONS", {name: options.OPTIONS[name] for name in ("tf32", "bf16, recomputing")})
    config = square / "square.yaml"
    arguments = ("--configs", str(config), "--steps", "1", *arguments_of(overrides))
    table = results(monkeypatch, options, square, *arguments)
    rows = table["configurations"]["square"]
    assert set(rows) == set(options.OPTIONS) - set(options.ON_CUDA)
    for name, row in rows.items():
        chosen = load_configuration(config, [*overrides, *options.OPTIONS[name]])
        costs = step_costs(chosen)
        assert row["peak_gib"] == round(costs.peak_bytes / 2**30, 2)
        assert row["gflop"] == round(costs.operations / 1e9, 1)
        assert row["frames_per_second"] == pytest.approx(6000 / row["milliseconds"], rel=0.02)
        seconds = row["milliseconds"] / 1000
        for share, work, rate in (
            ("share_of_matrix_rate", costs.operations, table["matrix_gflop_per_second"]),
            ("share_of_copy_rate", costs.moved_bytes, table["copied_gb_per_second"]),
        ):
            assert row[share] == pytest.approx(work / 1e9 / (rate * seconds), rel=0.02, abs=1e-3)
        assert 0 <= row["share_waiting_for_data"] < 1


def test_steps_that_would_take_too_long_are_not_timed(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "LONGEST_STEP", 0)
    monkeypatch.setattr(options, "OPTIONS", {"fp32": ()})
    table = results(monkeypatch, options, square, "--configs", str(square / "square.yaml"))
    assert table["configurations"]["square"]["fp32"].keys() == {"peak_gib", "gflop"}


def test_copying_counts_reading_and_writing() -> None:
    assert 0.1 < options.copy_rate(torch.device("cpu")) < 10_000


def test_scaling(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "FACTORS", (1, 2))
    monkeypatch.setattr(scaling, "NUM_VIDEOS", (10, 100))
    found = results(monkeypatch, scaling, square, "--config", str(square / "square.yaml"), "--steps", "1")
    assert {name: [row["size"] for row in part["rows"]] for name, part in found.items()} == {
        "observations": [3, 6],
        "batch": [2, 4],
        "pixels": [1024, 2048],
        "videos": [10, 100],
    }
    assert 0 < found["batch"]["slopes"]["peak_mib"] < 1.1


def test_slopes() -> None:
    rows = [{"size": size, "linear": 3 * size, "constant": 5, "quadratic": size**2} for size in (1, 10, 100)]
    assert scaling.with_slopes(rows)["slopes"] == {"linear": 1, "constant": 0, "quadratic": 2}

"""Every way of computing a step learns as plain float32 does: the curves of the committed runs."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import equal_learning
from tests.processes import run_forked
from utils.measurement import RESULTS_DIRECTORY

COMMITTED = RESULTS_DIRECTORY / "equal_learning.00_breakout_demo.amd-epyc-cpu.json"
RESULTS: dict[str, Any] = json.loads(COMMITTED.read_text())["results"]

TOLERANCES = {"activation_checkpointing": 0.0, "bf16": 0.04, "compile": 0.04, "two_ranks": 0.04}
"""Mean relative difference of the curves. Rounding alone makes runs part after some steps; so does another seed."""


@pytest.mark.parametrize("name", equal_learning.RUNS)
def test_the_committed_curves_are_whole(name: str) -> None:
    assert len(RESULTS[name]["curve"]) == 40
    assert RESULTS[name]["mean_difference"] == round(
        equal_learning.mean_difference(RESULTS[name]["curve"], RESULTS["fp32"]["curve"]), 4
    )


@pytest.mark.parametrize("name", TOLERANCES)
def test_an_option_learns_as_float32_does(name: str) -> None:
    assert RESULTS[name]["mean_difference"] <= TOLERANCES[name]
    assert RESULTS[name]["l1"] == pytest.approx(RESULTS["fp32"]["l1"], rel=0.06)


def test_a_comparison_trains_what_is_missing(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equal_learning, "RUNS", {"fp32": (), "fp32_seed1": ("training.seed=1",)})
    monkeypatch.setattr(equal_learning, "SHORTENED", ("training.max_steps=2", "logging.log_freq=1"))
    report = square / "report.json"
    monkeypatch.setattr(equal_learning.subprocess, "run", run_forked)
    arguments = ["--config", str(square / "square.yaml"), "--device", "cpu", "--json", str(report)]
    monkeypatch.setattr(sys, "argv", [equal_learning.__file__, *arguments])
    for _ in range(2):  # the second time nothing is trained
        equal_learning.main()
    results = json.loads(report.read_text())["results"]
    assert results["fp32"]["mean_difference"] == 0
    assert results["fp32_seed1"]["mean_difference"] > 0
    assert len(results["fp32"]["curve"]) == 2

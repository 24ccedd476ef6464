"""The benchmark of a card ends in time whatever its stages do; its rehearsal is whole; defaults follow its results."""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import long_training, schedule
from benchmarks.gpu.learning import learns_equally
from benchmarks.gpu.merge import BEGIN, END, NO_RESULTS, README, filed_runs, merge, with_tables
from benchmarks.gpu.playing import GraphedSimulator
from benchmarks.gpu.processes import run_limited
from benchmarks.gpu.schedule import STAGES, Stage, failures, new_record, obstacles, read_run, run, write_record
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.tables import tables
from model.build import build_model
from playing.simulator import Simulator
from tests.command import Command
from tests.configurations import MODELS, small_configuration
from tests.processes import PythonProcess, run_python
from tests.synthetic import square_configuration
from training.compilation import resolve_auto
from training.run import train
from utils.command import EXIT_DONE, EXIT_USER_ERROR, UserError
from utils.measurement import RESULTS_DIRECTORY

ON_CARD = Setting("cuda", False, 0.0, "absent", "absent", None)


def rehearsal(folder: Path, seconds: float) -> Setting:
    return Setting("cpu", True, time.time() + seconds, str(folder), "absent", None)


def run_limited_forked(command: list[str], seconds: float, log: Path, folder: Path) -> int:
    """Takes the place of `run_limited`."""
    assert command[0] == sys.executable
    process = PythonProcess(log.parent, *command[1:], cwd=folder)
    code = process.wait(seconds)
    log.write_text(process.stdout + process.stderr)
    return code


def test_a_rehearsal_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schedule, "run_limited", run_limited_forked)
    command = Command(gpu, tmp_path, monkeypatch, capsys, "--rehearse", "--output", str(tmp_path / "results"))
    code, out, err = command("--minutes", "12")
    assert code == EXIT_DONE, out + err
    files = sorted((tmp_path / "results").iterdir())
    assert [path.name for path in files] == sorted([*(f"{stage.name}.json" for stage in STAGES), long_training.ARCHIVE])
    assert len(files) <= 8
    assert all(path.stat().st_size <= 16 * 2**20 for path in files)
    records = read_run(tmp_path / "results")
    assert {record["status"] for record in records.values()} == {"done"}
    assert records["processes_on_cards"]["results"]["runs"]["two processes, gloo"]["loss_difference"] < 1e-4
    assert records["long_training"]["results"]["step"] == 2
    assert "| `01_bair` | bf16, recomputing |" in out
    with pytest.raises(UserError, match="rehearsal"):
        merge(tmp_path / "results", tmp_path, tmp_path / "README.md")
    assert "holds the results of a run" in command.refused()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_card_it_says_so(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "absent"))
    done = run_python("-m", "benchmarks.gpu", "--output", tmp_path / "results", *data)
    assert done.returncode == EXIT_USER_ERROR
    assert "--device cuda: no such device" in done.stderr
    assert f"learning is skipped: lacks the recorded frames {tmp_path / 'absent'}" in done.stdout


def test_missing_packages_are_named() -> None:
    stage = Stage("steps", "", 1, ("torch", "no_such_package", "yaml"))
    assert obstacles(stage, ON_CARD) == ["pip install no_such_package"]
    assert obstacles(replace(stage, packages=(), needs_data=True), ON_CARD) == ["the recorded frames absent"]


@pytest.mark.skipif(sys.platform != "linux", reason="children in other sessions are found on Linux")
@pytest.mark.parametrize(("seconds", "ending", "code"), [(60, "", 0), (4, "time.sleep(60)", None)])
def test_a_process_ends_with_its_children_wherever_they_hide(
    tmp_path: Path, seconds: float, ending: str, code: int | None
) -> None:
    hidden = [sys.executable, "-c", "import time; time.sleep(60)", str(tmp_path)]
    starting = f"import subprocess, time; subprocess.Popen({hidden}, start_new_session=True); {ending}"
    assert run_limited([sys.executable, "-c", starting], seconds, tmp_path / "log", tmp_path) == code
    others = [path for path in Path("/proc").glob("[0-9]*/cmdline") if path.parent.name != str(os.getpid())]
    assert not [path for path in others if str(tmp_path).encode() in contents(path)]


def contents(path: Path) -> bytes:
    """Those of a file that may be gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_stage_that_fails_or_takes_too_long_does_not_stop_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = (
        Stage("absent", "fails", 60, ()),
        Stage("slow", "takes too long", 60, ()),
        Stage("lacking", "lacks something", 60, ("no_such_package",)),
        Stage("late", "has no time", 60, ()),
    )

    def run_limited(command: list[str], *_: Any) -> int | None:
        name, setting = command[-2], Setting.parse(command[-1])
        if name == "absent":
            _[1].write_text("Traceback\n\nModuleNotFoundError: absent\n")
            return 1
        _[1].write_text("")
        write_record(tmp_path / "slow.json", new_record("slow", setting) | {"results": {"half": 1}})
        monkeypatch.setattr(schedule.time, "time", lambda: setting.ends_at + 120)
        return None

    monkeypatch.setattr(schedule, "STAGES", stages)
    monkeypatch.setattr(schedule, "run_limited", run_limited)
    records = run(rehearsal(tmp_path, 100))
    assert [record["status"] for record in records] == ["failed", "stopped", "skipped", "skipped"]
    assert records[0]["reason"] == "ModuleNotFoundError: absent"
    assert records[1]["results"] == {"half": 1}
    assert [record["reason"] for record in records[2:]] == ["lacks pip install no_such_package", "no time left"]
    assert json.loads((tmp_path / "late.json").read_text())["status"] == "skipped"
    assert "its 97 s were over" in capsys.readouterr().out


def test_figures_that_failed_are_found() -> None:
    assert failures({"a": {"failed": "x"}, "b": [1], "c": {"d": {"failed": "y"}, "failed_tests": []}}) == ["x", "y"]


@pytest.mark.parametrize("overrides", MODELS.values(), ids=MODELS)
def test_recorded_steps_of_play_are_the_same(overrides: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    simulator = Simulator(build_model(small_configuration(*overrides)))
    graphed = GraphedSimulator(simulator)
    stacks = np.random.default_rng(0).integers(0, 256, (1, *simulator.stack_shape), np.uint8)
    first, second = simulator.start(stacks), graphed.start(stacks)
    moments = []
    for action in (0, 2, 1, 1):
        first, second = simulator.step(first, np.array([action])), graphed.step(second, np.array([action]))
        moments.append(second)
        torch.testing.assert_close(second.observation, first.observation)
    assert len({moment.observation.data_ptr() for moment in moments}) == 4  # each has a place of its own


def test_a_long_training_goes_on_from_its_archive(square: Path) -> None:
    config = square_configuration(square, "training.max_steps=2", "logging.log_freq=1")
    train(config, "cpu")
    assert long_training._pack(config, square / "a.tar") == 2
    resumed = square_configuration(square, "training.max_steps=3", "logging.log_freq=1", "logging.run_name=other")
    long_training._unpack(square / "a.tar", resumed)
    train(resumed, "cpu")
    assert long_training._pack(resumed, square / "b.tar") == 3
    log = (resumed.logging.output_directory / "metrics.jsonl").read_text().splitlines()
    assert {json.loads(line)["step"] for line in log} == {1, 2, 3}


def learning(difference: float = 0.01, l1: float = 0.031, device: str = "cuda", rehearsed: bool = False) -> Any:
    """The record of a stage in which bfloat16 was compared with float32."""
    runs = {"fp32": {"mean_difference": 0.0, "l1": 0.03}, "bf16": {"mean_difference": difference, "l1": l1}}
    return {"device": device, "rehearsal": rehearsed, "status": "done", "results": {"runs": runs}}


def test_what_counts_as_equal_learning() -> None:
    assert learns_equally(learning(), "bf16")
    assert not learns_equally(learning(), "compile")
    for record in (learning(difference=0.05), learning(l1=0.04), learning(device="cpu"), learning(rehearsed=True)):
        assert not learns_equally(record, "bf16")


def test_defaults_on_cuda_are_what_a_run_there_has_shown_to_learn_equally() -> None:
    records = [records["learning"] for records in filed_runs() if "learning" in records]
    chosen = resolve_auto(small_configuration(), torch.device("cuda")).training
    shown = {name for name in ("bf16", "compile") if any(learns_equally(record, name) for record in records)}
    assert chosen.precision in {"tf32"} | shown
    assert not chosen.compile or "compile" in shown


def run_on_card(folder: Path) -> dict[str, Any]:
    """Records as a run on a card leaves them in a folder."""
    machine = {"device": "NVIDIA H200", "torch": "2.11"}
    step = {"milliseconds": 50.0, "frames_per_second": 1.0, "share_of_matrix_rate": 0.4, "allocated_gib": 7.1}
    results: dict[str, Any] = {
        "environment": {"machine": machine, "matrix_gflop_per_second": {"bf16": 790_000.0}},
        "steps": {"configurations": {"01_bair": {"bf16": step, "fp32": {"failed": "out of | memory"}}}},
        "learning": learning()["results"],
        "playing": {},
    }
    for name, found in results.items():
        write_record(folder / f"{name}.json", new_record(name, ON_CARD) | {"status": "done", "results": found})
    return read_run(folder)


def test_a_run_is_filed_under_the_name_of_its_card_and_shown(tmp_path: Path) -> None:
    results, readme = tmp_path / "results", tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}old\n{END}after\n")
    records = run_on_card(tmp_path / "run")
    filed = merge(tmp_path / "run", results, readme)
    assert filed == results / "nvidia-h200"
    assert read_run(filed) == {name: record for name, record in records.items() if name != "playing"}
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    for line in (
        "NVIDIA H200, PyTorch 2.11, bf16 790.0 TFLOP/s.",
        "| share of the bf16 rate in a step | at least 0.35 | 0.4 |",
        "| `01_bair` | fp32 | failed: out of / memory |  |  |  |",
        "| bf16 | 0.01 | 0.031 |  |",
    ):
        assert line in text
    assert with_tables(text, results) == text
    with pytest.raises(UserError, match=r"no environment\.json"):
        merge(tmp_path / "absent", results, readme)


def test_the_readme_shows_the_filed_runs() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_tables(text, RESULTS_DIRECTORY) == text
    assert (NO_RESULTS in text) == (not filed_runs())


def test_there_is_no_table_of_nothing() -> None:
    assert tables({}) == ""

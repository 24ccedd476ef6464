"""The benchmarks measure what they say, on tiny data."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import data_loading, demo, train_step
from tests.configurations import MODELS, arguments_of
from tests.evaluation.breakout.test_playability import OVERRIDES, with_checkpoint, write_play
from tests.processes import run_forked
from tests.synthetic import square_configuration
from utils.command import UserError


@pytest.fixture(autouse=True)
def _restore_threads() -> Any:
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)


def report(monkeypatch: pytest.MonkeyPatch, benchmark: Any, folder: Path, *options: str) -> Any:
    """The results that a benchmark writes about the tiny configuration."""
    arguments = ["--config", str(folder / "square.yaml"), "--device", "cpu", "--json", str(folder / "report.json")]
    monkeypatch.setattr(sys, "argv", [benchmark.__file__, *arguments, *options])
    benchmark.main()
    written = json.loads((folder / "report.json").read_text())
    assert written["configuration"] == "square"
    assert written["machine"]["torch"] == torch.__version__
    return written["results"]


@pytest.mark.parametrize("overrides", MODELS.values(), ids=MODELS)
def test_train_step(square: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]) -> None:
    results = report(monkeypatch, train_step, square, "--steps", "2", *arguments_of(overrides))
    assert results["batches"] == str(square / "data")
    for variant in ("plain", "ours"):
        milliseconds = results[variant]["milliseconds"]
        assert milliseconds.keys() == {*train_step.PHASES, "step"}
        assert 0 < milliseconds["forward"] < milliseconds["step"]
        assert results[variant]["saved_for_backward_mib"] > 0
        assert results[variant]["frames_per_second"] > 0
    assert results["speedup"] > 0


def test_train_step_without_data(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = report(monkeypatch, train_step, square, "--steps", "1", "--set", "data.data_root=absent")
    assert results["batches"] == "noise (absent is absent)"


def test_data_loading(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = report(monkeypatch, data_loading, square, "--batches", "2", "--videos", "2")
    assert results["frame_size"] == [32, 32]
    assert results["frames_per_batch"] == 6
    runs = {"bare decoding", "cache none, 0 workers", "cache memory", "cache disk"}
    assert results["frames_per_second"].keys() == runs
    assert all(frames_per_second > 0 for frames_per_second in results["frames_per_second"].values())
    decoding = {f"cache none, {number} workers" for number in range(3)}
    assert results["waiting"].keys() == {*decoding, "cache memory", "cache disk", "shards, cache disk"}
    assert all(0 < share < 1 for share in results["waiting"].values())


@pytest.mark.parametrize(("reading", "share"), [(0, 0), (data_loading.STEP_SECONDS / 2, 1 / 3)])
def test_the_share_of_waiting(monkeypatch: pytest.MonkeyPatch, reading: float, share: float) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def batches() -> Iterator[Any]:
        for _ in range(4):
            sleep(reading)
            yield

    monkeypatch.setattr(data_loading.time, "sleep", sleep)
    monkeypatch.setattr(data_loading.time, "perf_counter", lambda: now)
    assert data_loading._waiting_share(batches(), 3) == pytest.approx(share, abs=1e-4)


def test_demo(square: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(demo.subprocess, "run", run_forked)
    results = report(monkeypatch, demo, square, "--seeds", "4", "7", "--set", "training.max_steps=4")
    assert results.keys() == {"seed 4", "seed 7", "median", "worst"}
    for seed in (4, 7):
        config = square_configuration(square, f"logging.run_name=square_seed_{seed}")
        last = json.loads((config.logging.output_directory / "metrics.jsonl").read_text().splitlines()[-1])
        found = results[f"seed {seed}"]
        assert found["steps"] == 4
        assert found["action_accuracy"] == round(last["eval/action_accuracy"], 4)
        assert found["l1"] == round(last["eval/reconstruction"], 5)
    assert results["worst"]["l1"] == max(results[f"seed {seed}"]["l1"] for seed in (4, 7))
    assert capsys.readouterr().out.count("not played: the paddle of Breakout is in ") == 2

    monkeypatch.setattr(demo, "train", None)
    with pytest.raises(UserError, match="square_seed_7: exists already; move it away"):
        report(monkeypatch, demo, square, "--seeds", "5", "7")


def test_demo_with_several_sets_of_instructions(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minutes = {"seed 1, default": 3, "seed 2, default": 1, "seed 1, avx512": 2, "seed 2, avx512": 4}
    monkeypatch.setattr(demo, "train", lambda run, _: {"minutes": minutes[run.name]})
    monkeypatch.setattr(
        demo, "play", lambda config, _: {"obeyed": float(config.logging.run_name.endswith("_2_avx512"))}
    )
    results = report(monkeypatch, demo, square, "--seeds", "1", "2", "--cpu_capabilities", "default", "avx512")
    assert list(results) == [*minutes, "median", "worst"]
    assert results["seed 2, avx512"] == {"minutes": 4, "obeyed": 1}
    assert results["median"] == {"minutes": 2.5, "obeyed": 0}
    assert results["worst"] == {"minutes": 4, "obeyed": 0}


def test_trainings_use_the_instructions_that_they_are_told_to(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def run(command: list[str], env: dict[str, str], **_: Any) -> Any:
        seen.append((env.get("ATEN_CPU_CAPABILITY"), env.get("ONEDNN_MAX_CPU_ISA")))
        assert "PATH" in env
        assert any(part.startswith("logging.run_name=square_seed_3") for part in command)
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(demo.subprocess, "run", run)
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    for capability in (None, "default", "avx2", "avx512"):
        with pytest.raises(UserError, match=r"training with seed 3.* ended with exit code 1"):
            demo.train(demo.Run(str(square / "square.yaml"), [], 3, capability), torch.device("cpu"))
    assert seen == [(None, None), ("default", "SSE41"), ("avx2", "AVX2"), ("avx512", "DEFAULT")]


def test_demo_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_play(tmp_path / "data", num_frames=24, with_ball=True)
    config = with_checkpoint(square_configuration(tmp_path, *OVERRIDES))
    monkeypatch.setattr(demo, "GAMES", 1)
    monkeypatch.setattr(demo, "FRAMES", 8)
    found = demo.play(config, torch.device("cpu"))
    assert {"paddle_found", "one_ball", "ball_one_step_ahead", "ball_own_frame_10"} <= found.keys()
    assert found["ball_one_step_ahead"] == 0  # the model has learned nothing


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_measured(
    square: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "train", None)
    with pytest.raises(UserError, match=r"--json: .* since .*square\.yaml is no folder; choose another file"):
        report(monkeypatch, demo, square, "--json", str(square / "square.yaml" / "report.json"))

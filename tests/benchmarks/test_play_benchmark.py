"""The play benchmark measures what it says, on tiny models."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks import play
from model.build import build_model
from model.caddy import Caddy
from playing.simulator import Simulator
from tests.configurations import MODELS, arguments_of, small_configuration
from tests.synthetic import square_configuration
from utils.checkpoint import LATEST, save_checkpoint

CPU = torch.device("cpu")


def stacks(simulator: Simulator) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, *simulator.stack_shape), np.uint8)


@pytest.fixture(autouse=True)
def _restore_threads() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)


def variants(*overrides: str) -> tuple[Simulator, play.PlainSimulator]:
    """Ours and the plain variant with the same weights."""
    torch.manual_seed(0)
    config = small_configuration(*overrides)
    ours = Simulator(build_model(config))
    return ours, play.PlainSimulator(config, ours.model.state_dict(), CPU)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "MATRIX_SIDE", 64)


def report(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> Any:
    """The results about the synthetic configuration."""
    arguments = ["--config", str(folder / "square.yaml"), "--device", "cpu", "--json", str(folder / "report.json")]
    monkeypatch.setattr(sys, "argv", [play.__file__, *arguments, *options])
    play.main()
    written = json.loads((folder / "report.json").read_text())
    assert (written["benchmark"], written["configuration"]) == ("play", "square")
    return written["results"]


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("overrides", MODELS.values(), ids=MODELS)
def test_report(
    square: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    overrides: tuple[str, ...],
) -> None:
    results = report(monkeypatch, square, "--steps", "4", "--threads", "1", *arguments_of(overrides))
    assert (results["steps"], results["threads"]) == (4, 1)
    assert results["speedup"] > 0
    limit = results["matrix_gflop_per_second"] / results["step_gflop"]
    assert results["limit_frames_per_second"] == pytest.approx(limit, rel=0.05)
    for variant in ("plain", "ours"):
        found = results[variant]
        assert found["frames_per_second"] > 0
        share = found["frames_per_second"] / results["limit_frames_per_second"]
        assert found["share_of_limit"] == pytest.approx(share, abs=1e-3)
        latencies = found["milliseconds"]
        assert 0 < latencies["50"] <= latencies["95"] <= latencies["99"]
    path = square / "checkpoints" / "square" / LATEST
    assert results["weights"] == f"random ({path} is absent)"
    assert f"weights: {results['weights']}" in capsys.readouterr().out


@pytest.mark.usefixtures("_quick")
def test_plays_the_checkpoint_where_there_is_one(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = square_configuration(square)
    path = config.logging.save_directory / LATEST
    save_checkpoint(path, {"model": Caddy(config).state_dict()})
    assert report(monkeypatch, square, "--steps", "1")["weights"] == str(path)


@pytest.mark.parametrize("overrides", MODELS.values(), ids=MODELS)
def test_both_variants_play_the_same(overrides: tuple[str, ...]) -> None:
    ours, plain = variants(*overrides)
    expected, found = ours.start(stacks(ours)), plain.start(stacks(ours))
    for action in (0, 2, 1):
        expected, found = (ours.step(expected, np.array([action])), plain.step(found, np.array([action])))
        torch.testing.assert_close(found.observation, expected.observation, atol=1e-5, rtol=0)


def test_the_plain_variant_renders_all_resolutions() -> None:
    ours, plain = variants()
    for player, expected in ((plain, [(4, 8), (8, 16), (16, 32)]), (ours, [(16, 32)])):
        sizes: list[tuple[int, ...]] = []
        for head in player.model.get_submodule("rendering_network.final_blocks").children():
            head.register_forward_hook(lambda *call, sizes=sizes: sizes.append(tuple(call[-1].shape[-2:])))
        player.step(player.start(stacks(ours)), np.array([0]))
        assert sizes == expected


@pytest.mark.parametrize("overrides", MODELS.values(), ids=MODELS)
def test_arithmetic_is_that_of_the_convolutions(overrides: tuple[str, ...]) -> None:
    ours, plain = variants(*overrides)
    operations = []

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        operations.append(2 * output.numel() * module.in_channels * module.kernel_size[0] * module.kernel_size[1])

    for module in plain.model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    gflop = play.step_gflop(plain, stacks(ours), np.array([0]))
    assert gflop * 1e9 == pytest.approx(sum(operations))


def test_summary() -> None:
    runs = [np.array([0.1, 0.1, 0.2]), np.array([0.1, 0.2, 0.3]), np.array([0.3, 0.5, 0.7])]
    found = play.summary(runs, limit=10.0)
    assert found["frames_per_second"] == 5.0  # three in 0.6 seconds: the median run, taken as a whole
    assert found["share_of_limit"] == 0.5
    assert found["milliseconds"] == {"50": 200.0, "95": 620.0, "99": 684.0}


def test_matrix_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter((0.0, 0.5, 0.75, 1.75))
    monkeypatch.setattr(play, "MATRIX_SIDE", 10)
    monkeypatch.setattr("time.perf_counter", lambda: next(seconds))
    assert play.matrix_rate(CPU) == pytest.approx(2 * 10**3 / 0.25 / 1e9)  # the best of the three

"""Fixtures that tests of several rooms share."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch

from model.perceptual import PerceptualNetwork
from tests.reference import filled_vgg19
from tests.synthetic import write_configuration, write_square_videos

WITHOUT_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
LONGEST = (
    "test_demo.py",
    "test_readme.py",
    "preparation/test_prepare.py",
    "web/test_page.py",
    "benchmarks/test_endurance.py",
    "benchmarks/test_training_benchmarks.py",
    "benchmarks/test_gpu.py",
    "training/test_trainer.py",
    "training/test_costs.py",
    "utils/test_distributed.py",
    "test_train_command.py",
    "dataset/test_sharded_training.py",
    "test_export_command.py",
)
"""Files of tests that take more than a minute."""

FFMPEGS = ["bundled", "system"] if shutil.which("ffmpeg") else ["bundled"]


def pytest_configure() -> None:
    """Share the processor's cores among the processes that test side by side, and the commands that they start."""
    if num_processes := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
        num_threads = max(1, (os.cpu_count() or 1) // int(num_processes))
        torch.set_num_threads(num_threads)
        os.environ["OMP_NUM_THREADS"] = str(num_threads)


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores, at most four: some tests wait."""
    return min(4, (os.cpu_count() or 1) + 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process is left with one of them at the end."""
    places = {f"tests/{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.location[0], len(places)))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=WITHOUT_CUDA)])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Each kind of processor in turn; CUDA computes in full float32."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield torch.device(request.param)


@pytest.fixture(scope="session", autouse=True)
def _hear_ctrl_c() -> None:
    """Take Ctrl-C as from a terminal, also where a shell started the tests in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _restore_signal_handler() -> Iterator[None]:
    """Take back what `run_command` does to the process that runs the tests."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="module", params=FFMPEGS)
def each_ffmpeg(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The ffmpeg of imageio-ffmpeg and that of the system, if any, in turn, for this process and its children."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "bundled":
            folder = tmp_path_factory.mktemp("bundled")
            (folder / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
            patch.setenv("PATH", str(folder), prepend=os.pathsep)
        yield request.param


@pytest.fixture
def fake_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a shell script in the place of the system's ffmpeg."""

    def install(script: str) -> None:
        folder = tmp_path / "fake"
        folder.mkdir()
        (folder / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "ffmpeg").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    return install


@pytest.fixture
def perceptual_network() -> PerceptualNetwork:
    """VGG19 with the weights that the reference numbers were computed with."""
    return PerceptualNetwork(filled_vgg19())


@pytest.fixture
def square(tmp_path: Path) -> Path:
    """A folder with the synthetic data set in `data` and its configuration in `square.yaml`."""
    write_square_videos(tmp_path / "data")
    write_configuration(tmp_path)
    return tmp_path


@pytest.fixture
def _without_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep `prepare` from measuring what training takes, which takes most of its time on tiny videos."""
    for module in ("plan", "run"):
        monkeypatch.setattr(f"preparation.{module}.training_memory", lambda *_: 10**9)
    monkeypatch.setattr("preparation.run.seconds_per_step", lambda *_: 0.25)


@pytest.fixture
def _short_lessons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure play of a few games, after a short training of the model that reads actions."""
    monkeypatch.setattr("evaluation.play.inverse_model.MOST_STEPS", 50)
    for name, value in {"NUM_LESSONS": 16, "NUM_SEQUENCES": 4, "NUM_STARTS": 4}.items():
        monkeypatch.setattr(f"evaluation.play.measure.{name}", value)


@pytest.fixture
def _without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make evaluations quick: drawing takes most of their time on tiny data."""
    for name in ("plot_action_space", "plot_action_usage", "plot_per_position"):
        monkeypatch.setattr(f"training.validation.{name}", lambda *_: np.zeros((1, 1, 3), np.uint8))
    monkeypatch.setattr("training.trainer.write_run_report", lambda *_: None)

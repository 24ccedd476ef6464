"""`train.py` as users meet it: interrupted, killed, mis-configured."""

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from tests.command import Command
from tests.faults import file_size_limit
from tests.processes import PythonProcess, succeed
from tests.synthetic import SIDE, configuration_values, write_configuration, write_square_videos
from tests.training.test_state import assert_equal
from utils.checkpoint import load_checkpoint

REPOSITORY = Path(train.__file__).parent
LATEST = Path("checkpoints/square/latest.pth.tar")
METRICS = Path("results/square/metrics.jsonl")


class TrainCommand(Command):
    """`train.py`, refused with overrides of a configuration."""

    def refused(self, *overrides: str, config: str = "square.yaml", device: str = "cpu") -> str:
        """Return the one line that a run is refused with; nothing is written then."""
        options = [part for override in overrides for part in ("--set", override)]
        return super().refused("--config", str(self.folder / config), "--device", device, *options)


@pytest.fixture
def command(
    square: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], _without_plots: None
) -> TrainCommand:
    return TrainCommand(train, square, monkeypatch, capsys)


def options(folder: Path, *overrides: str) -> list[str]:
    return ["--config", str(folder / "square.yaml"), *(part for override in overrides for part in ("--set", override))]


def learned(path: Path) -> dict[str, Any]:
    """A checkpoint without the paths that differ between two folders."""
    contents = load_checkpoint(path)
    del contents["config"]
    return contents


# Killed and interrupted


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What 40 steps in one go learn."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    write_square_videos(folder / "data")
    write_configuration(folder)
    succeed("train.py", *options(folder, "training.max_steps=40", "evaluation.eval_freq=40"))
    return learned(folder / LATEST)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_killed_run_goes_on_exactly(square: Path, num_workers: int, uninterrupted: dict[str, Any]) -> None:
    arguments = options(
        square,
        "training.max_steps=40",
        "evaluation.eval_freq=20",
        f"training.batching.num_workers={num_workers}",
        f"evaluation.batching.num_workers={num_workers}",
    )
    first = PythonProcess(square, "train.py", *arguments)
    first.wait_until((square / LATEST).exists)
    time.sleep(random.uniform(0, 0.4))
    first.send(signal.SIGKILL)
    assert first.wait() in (-signal.SIGKILL, 0)
    second = PythonProcess(square, "train.py", *arguments)
    assert second.wait() == 0
    assert re.search("continuing square after step (20|40) of 40|training is complete", second.stdout)
    assert_equal(learned(square / LATEST), uninterrupted)
    assert not list(square.rglob("*.unfinished"))


@pytest.mark.parametrize(
    ("number", "to_group", "num_workers", "code"),
    [(signal.SIGTERM, False, 0, 143), (signal.SIGINT, False, 2, 130), (signal.SIGINT, True, 2, 130)],
)
def test_an_interrupted_run_saves_and_goes_on_exactly(
    square: Path, number: signal.Signals, to_group: bool, num_workers: int, code: int, uninterrupted: dict[str, Any]
) -> None:
    arguments = options(
        square,
        "training.max_steps=40",
        "evaluation.eval_freq=40",
        "logging.log_freq=3",
        f"training.batching.num_workers={num_workers}",
    )
    process = PythonProcess(square, "train.py", *arguments)
    process.wait_until(lambda: (square / METRICS).exists() and (square / METRICS).stat().st_size)
    process.send(number, to_group)
    assert process.wait() == code
    assert f"{number.name}: saving after this step" in process.stdout
    step = load_checkpoint(square / LATEST)["step"]
    assert f"(step {step})" in process.stdout
    again = f"train.py --config {square}/square.yaml --device auto --set training.max_steps=40"
    assert re.search(f"^to go on    .*python.* {re.escape(again)}", process.stdout, re.MULTILINE)
    assert "Traceback" not in process.stderr
    assert "error" not in process.stderr

    resumed = PythonProcess(square, "train.py", *arguments)
    assert resumed.wait() == 0
    assert f"continuing square after step {step} of 40" in resumed.stdout
    assert_equal(learned(square / LATEST), uninterrupted)
    for line in (square / METRICS).read_text().splitlines():
        json.loads(line)


def test_progress_in_a_log_is_a_few_lines(square: Path) -> None:
    process = PythonProcess(square, "train.py", *options(square))
    assert process.wait() == 0
    progress = [line for line in process.stderr.replace("\r", "").splitlines() if line]
    assert len(progress) <= 4
    assert all(line.startswith("square: ") for line in progress)
    assert "12/12 steps" in progress[-1]
    assert "loss=" in progress[-1]
    assert "/s" in progress[-1] or "s/" in progress[-1]
    assert progress[-1].endswith("left")
    assert "images      " in process.stdout
    assert f"log         {square / METRICS}" in process.stdout
    assert f"report      {square / METRICS.with_name('report.html')}" in process.stdout
    assert "Step 12 of 12" in (square / METRICS).with_name("report.html").read_text()
    assert f"checkpoint  {square / LATEST} (step 12)" in process.stdout


@pytest.mark.parametrize("mode", ["offline", "disabled", ""])
def test_wandb_runs_without_a_login_and_survives_ctrl_c(square: Path, mode: str) -> None:
    """Without W&B's mode, it is the absence of a key that makes the run an offline one."""
    (square / "home").mkdir()
    process = PythonProcess(
        square,
        "train.py",
        *options(square, "logging.trackers=[wandb]", "training.max_steps=1000", "logging.log_freq=2"),
        environment={
            "WANDB_MODE": mode or "online",
            "HOME": str(square / "home"),
            "WANDB_API_KEY": "",
            "WANDB_BASE_URL": "http://127.0.0.1:9",
            "NETRC": str(square / "home" / "netrc"),
        },
    )
    process.wait_until(lambda: (square / METRICS).exists() and (square / METRICS).stat().st_size)
    process.send(signal.SIGINT, to_group=True)
    assert process.wait() == 130
    assert "Traceback" not in process.stderr
    assert f"W&B: {mode or 'offline'} run" in process.stdout
    has_offline_run = bool(list((square / "results" / "square" / "wandb").glob("offline-run-*/*.wandb")))
    assert has_offline_run == (mode != "disabled")


def test_help_and_typing_errors_do_not_wait_for_torch() -> None:
    script = "import sys; import train; assert 'torch' not in sys.modules; assert 'wandb' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True)
    done = subprocess.run(
        [sys.executable, "train.py", "--help"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    assert "example:\n  python train.py --config configs/" in done.stdout


# Refused before anything is written


def test_wrong_arguments(command: TrainCommand) -> None:
    for arguments, told in (
        ((), "the following arguments are required: --config"),
        (("--config", "a.yaml", "--device", "tpu"), "argument --device: invalid choice: 'tpu'"),
        (("--config", "a.yaml", "extra"), "unrecognized arguments: extra"),
    ):
        code, out, err = command(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {told}")
        assert err.count("\n") == 1


def test_wrong_configurations(command: TrainCommand) -> None:
    assert "missing.yaml: cannot be read (No such file or directory)" in command.refused(config="missing.yaml")
    assert "training.max_stepz: unknown key, did you mean 'max_steps'?" in command.refused("training.max_stepz=3")
    assert "training.max_steps: Input should be" in command.refused("training.max_steps=many")
    assert "--set nothing" in command.refused("nothing")
    assert "training.compile: Input should be" in command.refused("training.compile=maybe")
    assert "training.cuda_graphs: only networks" in command.refused("training.cuda_graphs=true")


def test_a_tracker_that_is_not_installed(command: TrainCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.trackers.importlib.util.find_spec", lambda _: None)
    told = command.refused("logging.trackers=[tensorboard]")
    assert told.startswith("logging.trackers: [tensorboard] needs tensorboard, which is not installed; install it: pip")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device(command: TrainCommand) -> None:
    assert "--device cuda: no such device is usable here; use auto or cpu" in command.refused(device="cuda")


def test_missing_data(command: TrainCommand) -> None:
    assert f"{command.folder}/nowhere: no such folder" in command.refused(f"data.data_root={command.folder}/nowhere")
    shutil.rmtree(command.folder / "data" / "val")
    assert "no videos of the split 'val'" in command.refused()
    (command.folder / "data" / "val" / "00000").mkdir(parents=True)
    assert "val/00000: holds no frames" in command.refused()


def test_videos_that_are_too_short(command: TrainCommand) -> None:
    told = command.refused("training.batching.observations_count=13")
    assert "data/train: all 4 videos are too short: they have 12 frames, but 13 observations" in told
    assert "lower observations_count or skip_frames" in told


def test_a_crop_outside_of_the_frames(command: TrainCommand) -> None:
    told = command.refused(f"data.crop=[0, 0, {SIDE}, {SIDE + 16}]")
    assert f"data.crop [0, 0, {SIDE}, {SIDE + 16}] does not lie inside a frame of {SIDE}x{SIDE} pixels" in told


def test_true_actions_beyond_the_number_of_actions(command: TrainCommand) -> None:
    told = command.refused("training.use_ground_truth_actions=true", "data.actions_count=2")
    assert "has an action 2, but training.use_ground_truth_actions needs 0 to 1" in told


def test_true_actions_that_are_unknown(command: TrainCommand) -> None:
    video = command.folder / "data" / "train" / "00001"
    (video / "annotations.json").unlink()
    told = command.refused("training.use_ground_truth_actions=true")
    assert told.startswith(f"{video}: has no true actions")


@pytest.mark.parametrize("key", ["output_root", "save_root"])
def test_folders_that_cannot_be_written(command: TrainCommand, key: str) -> None:
    (command.folder / "file").touch()
    told = command.refused(f"logging.{key}={command.folder}/file/below")
    assert f"file is no folder; choose another logging.{key}" in told


def test_a_missing_perceptual_network(
    command: TrainCommand, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    told = command.refused(
        "training.loss_weights.perceptual_loss_lambda=1",
        "model.representation_network.target_input_size=[64, 64]",
        "model.representation_network.state_resolution=[8, 8]",
    )
    assert "the perceptual loss needs torchvision's VGG19 weights" in told


def test_a_loss_that_the_model_cannot_have(command: TrainCommand) -> None:
    told = command.refused("training.loss_weights.cross_entropy_lambda=1")
    assert told.startswith("training.loss_weights.cross_entropy_lambda: the frames of this model have no log-prob")


def test_frames_too_small_for_the_perceptual_network(command: TrainCommand) -> None:
    told = command.refused("training.loss_weights.perceptual_loss_lambda=1")
    assert "the perceptual loss needs sides of at least 64, not 32" in told


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    "damage", [tear, lambda path: path.write_bytes(b"no checkpoint"), Path.unlink, lambda path: torch.save([1], path)]
)
def test_a_latest_checkpoint_that_cannot_be_used(command: TrainCommand, damage: Callable[[Path], None]) -> None:
    settings = ("training.max_steps=3", "training.save_freq=2")
    assert command(*options(command.folder, *settings))[0] == 0
    damage(command.folder / LATEST)
    told = command.refused("training.max_steps=4")
    assert str(command.folder / LATEST) in told
    assert f"the newest intact checkpoint is {command.folder}/checkpoints/square/checkpoint_2.pth.tar" in told


def test_a_checkpoint_of_another_model(command: TrainCommand) -> None:
    assert command(*options(command.folder, "training.max_steps=1"))[0] == 0
    told = command.refused("training.max_steps=2", "model.dynamics_network.hidden_state_size=16")
    assert "made with another configuration" in told
    assert "choose another logging.run_name" in told


# Ended by what the user can mend


def test_a_full_disk(command: TrainCommand) -> None:
    assert command(*options(command.folder, "training.max_steps=1"))[0] == 0
    before = (command.folder / LATEST).read_bytes()
    with file_size_limit(100_000):
        code, _, err = command(*options(command.folder, "training.max_steps=2"))
    assert code == 2
    *_, told = err.splitlines()
    assert told.startswith(f"error: {command.folder / LATEST}: cannot be saved (File too large)")
    assert "Traceback" not in err
    assert (command.folder / LATEST).read_bytes() == before
    assert not list(command.folder.rglob("*.unfinished"))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_corrupt_frame(command: TrainCommand, num_workers: int) -> None:
    frame = command.folder / "data" / "train" / "00003" / "00009.png"
    frame.write_bytes(b"\x89PNG")
    code, _, err = command(*options(command.folder, f"training.batching.num_workers={num_workers}"))
    assert code == 2
    *_, told = err.splitlines()
    assert told.startswith(f"error: {frame}: the frame cannot be used")
    assert "Traceback" not in err


def test_an_earlier_configuration_is_kept(command: TrainCommand) -> None:
    for seed in (0, 1):
        values = configuration_values(command.folder)
        values["training"]["seed"] = seed
        values["training"]["max_steps"] = seed + 1
        write_configuration(command.folder, values)
        code, out, _ = command(*options(command.folder))
        assert code == 0
    assert "continuing with a changed configuration: training.seed: 0 -> 1, training.max_steps: 1 -> 2" in out
    assert "is kept as config_1.yaml" in out
    assert "seed: 0" in (command.folder / "results" / "square" / "config_1.yaml").read_text()
    assert "seed: 1" in (command.folder / "results" / "square" / "config.yaml").read_text()

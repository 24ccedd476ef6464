import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from playing.hints import Hints, read_hints
from playing.simulator import load_simulator
from playing.starting_frames import STARTING_FRAMES
from tests.command import Command
from tests.synthetic import square_configuration, write_configuration, write_square_videos
from training import release
from training.run import train
from utils.checkpoint import LATEST, CheckpointError, load_checkpoint, save_checkpoint
from utils.configuration import Configuration

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of two steps."""
    folder = tmp_path_factory.mktemp("trained")
    write_square_videos(folder / "data")
    train(square_configuration(folder, "training.max_steps=2"), "cpu")
    return folder


@pytest.fixture
def config(tmp_path: Path, trained: Path) -> Configuration:
    """The run, in a folder that may be changed."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return square_configuration(tmp_path, "training.max_steps=2")


@pytest.fixture
def command(
    tmp_path: Path, config: Configuration, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    configuration = write_configuration(tmp_path, config.model_dump(mode="json"))
    return Command(release, tmp_path, monkeypatch, capsys, "--config", str(configuration))


def frames_played(config: Configuration) -> np.ndarray:
    simulator, checkpoint = load_simulator(config, CPU)
    moment = simulator.start(checkpoint[STARTING_FRAMES][:2].numpy())
    for action in (0, 1, 2):
        moment = simulator.step(moment, np.array([action, action]))
    return moment.frames.astype(int)


def test_plays_by_itself_as_the_run_does(config: Configuration, command: Command) -> None:
    released = config.logging.model_copy(update={"run_name": "released"})
    path = released.save_directory / LATEST
    code, out, _ = command("--output", str(path))
    assert code == 0
    assert out == f"{path}  {path.stat().st_size / 1e6:.1f} MB\n"
    assert path.stat().st_size < (config.logging.save_directory / LATEST).stat().st_size / 4
    assert {weight.dtype for weight in load_checkpoint(path)["model"].values()} == {torch.float16, torch.int64}
    played = frames_played(config.model_copy(update={"logging": released}))
    assert np.abs(played - frames_played(config)).max() <= 1
    assert load_checkpoint(path)["step"] == 2
    run = load_checkpoint(config.logging.save_directory / LATEST)
    assert load_checkpoint(path)["config"] == run["config"]


@pytest.mark.parametrize(
    ("arguments", "before", "expected"),
    [
        ("", {}, Hints()),
        ("--action_names left stay right", {}, Hints(("left", "stay", "right"))),
        ("--real_time_fps 15", {}, Hints(real_time_fps=15)),
        ("", {"action_names": ["a", "b", "c"], "real_time_fps": 60}, Hints(("a", "b", "c"), 60)),
        ("--action_names d e f", {"action_names": ["a", "b", "c"], "real_time_fps": 7.5}, Hints(("d", "e", "f"), 7.5)),
        ("--action_names d e f", {"action_names": ["damaged"]}, Hints(("d", "e", "f"))),
    ],
)
def test_says_how_it_is_played(
    config: Configuration, command: Command, arguments: str, before: dict[str, Any], expected: Hints
) -> None:
    path, output = config.logging.save_directory / LATEST, command.folder / "new"
    save_checkpoint(path, load_checkpoint(path) | before)
    code, _, err = command("--output", str(output), *arguments.split())
    assert code == 0, err
    assert read_hints(load_checkpoint(output), output, 3) == expected


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--action_names", "left", "right"], "--action_names: 2 names for the 3 actions of this model; give 3"),
        (["--action_names", "left", "", "right"], "--action_names: '' is no name of 1 to 32 printable characters"),
        (["--action_names", "a", "b\n", "c"], "--action_names: 'b\\n' is no name of 1 to 32 printable characters"),
        (["--real_time_fps", "61"], "--real_time_fps 61: give a number above 0, up to 60"),
        (["--real_time_fps", "0"], "argument --real_time_fps: 0 is not a number above 0; see --help"),
    ],
)
def test_impossible_hints(tmp_path: Path, command: Command, arguments: list[str], told: str) -> None:
    assert command.refused("--output", str(tmp_path / "new"), *arguments) == told


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        *(
            ({"action_names": names}, "its action_names are not 3 names of 1 to 32 printable characters; store others")
            for names in ("abc", ["a", "b"], ["a", "b", 3], ["a", "b", " "], ["a", "b", "\0"], ["a", "b", "c" * 33])
        ),
        *(
            ({"real_time_fps": fps}, "its real_time_fps is no number above 0, up to 60; store another")
            for fps in (0, -1, 61, float("nan"), "15", True)
        ),
    ],
)
def test_damaged_hints(contents: dict[str, Any], told: str) -> None:
    with pytest.raises(CheckpointError, match=f"^latest: {told}"):
        read_hints(contents, Path("latest"), 3)


@pytest.mark.parametrize(
    ("names", "idle_action"),
    [(None, None), (("left", "right"), None), (("left", "Stay", "none"), 2), (("NOOP",), 1), (("a", "none"), 2)],
)
def test_an_action_that_does_nothing_is_for_idle_time(names: tuple[str, ...] | None, idle_action: int | None) -> None:
    assert Hints(names).idle_action == idle_action


def test_keeps_a_file_that_exists(tmp_path: Path, command: Command) -> None:
    (tmp_path / "mine").write_text("mine")
    assert (
        command.refused("--output", str(tmp_path / "mine")) == f"{tmp_path / 'mine'}: exists; choose another --output"
    )


def test_a_run_without_a_checkpoint(tmp_path: Path, command: Command) -> None:
    refusal = command.refused("--set", "logging.run_name=untrained", "--output", str(tmp_path / "new"))
    assert "untrained/latest.pth.tar: no such checkpoint" in refusal


def test_weights_that_half_precision_cannot_hold(tmp_path: Path, config: Configuration, command: Command) -> None:
    path = config.logging.save_directory / LATEST
    checkpoint = load_checkpoint(path)
    name = next(iter(checkpoint["model"]))
    checkpoint["model"][name][0] = 1e6
    save_checkpoint(path, checkpoint)
    assert f"{path}: {name} is too large for half precision" in command.refused("--output", str(tmp_path / "new"))

"""`play.py` without a screen, as users meet it."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import play
from playing.manner import Manner
from playing.recording import read_frame, read_play
from playing.session import Session
from tests.command import Command
from tests.synthetic import square_configuration, write_configuration, write_square_videos
from training import run
from utils.checkpoint import LATEST, load_checkpoint, save_checkpoint

ROOT = Path(play.__file__).parent


class PlayCommand(Command):
    """`play.py`."""

    def played(self, *arguments: str) -> list[Path]:
        """Play and return the folders of the newest session's sequences."""
        code, out, err = self(*arguments)
        assert code == 0, err
        (line,) = (line for line in out.splitlines() if line.startswith("recording"))
        return sorted(path for path in Path(line.split(maxsplit=1)[1]).iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the synthetic data set, its configuration and a checkpoint of two steps."""
    folder = tmp_path_factory.mktemp("trained")
    write_square_videos(folder / "data")
    write_configuration(folder)
    run.train(square_configuration(folder, "training.max_steps=2"), "cpu")
    write_configuration(folder)
    return folder


@pytest.fixture
def command(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> PlayCommand:
    """Play in a copy of the trained folder."""
    folder = tmp_path / "square"
    shutil.copytree(trained, folder)
    square_configuration(folder)
    common = ("--config", str(folder / "square.yaml"), "--device", "cpu", "--play_root", str(folder / "plays"))
    return PlayCommand(play, folder, monkeypatch, capsys, *common)


def frames(sequence: Path) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    while (frame := read_frame(sequence / "play.json", len(found))) is not None:
        found.append(frame)
    return found


def test_a_script_is_played_and_recorded(command: PlayCommand) -> None:
    first, second = command.played("--headless", "--actions", "1,2x3,0,3", "--fps", "7.5")
    header, events, stack = read_play(first / "play.json")
    assert [event.action for event in events] == [1, 2, 2, 2]
    assert [event.action for event in read_play(second / "play.json")[1]] == [3]
    assert (header.run_name, header.device, header.frame_rate) == ("square", "cpu", 7.5)
    assert len(frames(first)) == 5
    assert np.array_equal(frames(first)[0], stack[-1])
    assert all((first / f"video{name}.mp4").stat().st_size for name in ("", "_actions", "_real_time"))


def test_seeds_repeat_and_differ(command: PlayCommand) -> None:
    script = ("--headless", "--actions", "1,2,0,3,3", "--noise")
    one, same = (
        [frame.tobytes() for sequence in command.played(*script) for frame in frames(sequence)] for _ in range(2)
    )
    other = [frame.tobytes() for sequence in command.played(*script, "--seed", "1") for frame in frames(sequence)]
    assert one == same
    assert one != other


@pytest.mark.parametrize("noise", [(), ("--noise",)])
def test_a_replay_is_the_same_bit_for_bit(command: PlayCommand, noise: tuple[str, ...]) -> None:
    (sequence,) = command.played("--headless", "--actions", "1,2,3,3", *noise)
    code, out, _ = command("--replay", str(sequence / "play.json"))
    assert code == 0
    assert f"every frame is as in {sequence}/play.json" in out
    (again,) = command.played("--replay", str(sequence / "play.json"))
    assert again != sequence
    assert [frame.tobytes() for frame in frames(again)] == [frame.tobytes() for frame in frames(sequence)]
    assert [event.action for event in read_play(again / "play.json")[1]] == [1, 2, 3, 3]


@pytest.mark.parametrize("fault", [Path.unlink, lambda frame: frame.write_bytes(b"\x89PNG")])
def test_a_recorded_frame_that_is_lost_counts_as_different(
    command: PlayCommand, fault: Callable[[Path], object]
) -> None:
    (sequence,) = command.played("--headless", "--actions", "1,2,3")
    fault(sequence / "frames" / "00002.png")
    code, out, _ = command("--replay", str(sequence / "play.json"))
    assert code == 0
    assert "replayed    1 frame(s) differ from " in out


def test_a_replay_with_another_checkpoint_says_so(command: PlayCommand) -> None:
    (sequence,) = command.played("--headless", "--actions", "1,2")
    path = command.folder / "checkpoints/square" / LATEST
    contents = load_checkpoint(path)
    contents["model"]["rendering_network.final_blocks.2.conv.bias"] += 1
    save_checkpoint(path, contents)
    code, out, _ = command("--replay", str(sequence / "play.json"))
    assert code == 0
    assert "recorded with another checkpoint" in out
    assert f"2 frame(s) differ from {sequence}/play.json" in out


def test_a_checkpoint_and_its_configuration_are_enough(command: PlayCommand) -> None:
    shutil.rmtree(command.folder / "data")
    code, out, _ = command("--headless", "--actions", "1")
    assert code == 0
    assert "starting from the checkpoint" in out


def test_a_picture_to_begin_with(command: PlayCommand) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(command.folder / "picture.png")
    sequences = command.played("--headless", "--actions", "1,0,1", "--initial_frame", f"{command.folder}/picture.png")
    assert all(np.array_equal(frames(sequence)[0], pixels) for sequence in sequences)
    assert len(sequences) == 2


def test_nothing_is_kept_if_so_wished(command: PlayCommand) -> None:
    code, out, _ = command("--headless", "--actions", "1,2", "--no_recording")
    assert code == 0
    assert "recording" not in out
    assert not (command.folder / "plays").exists()


@pytest.mark.parametrize("form", ["authors", "bare"])
def test_weights_from_elsewhere_play(command: PlayCommand, form: str) -> None:
    path = command.folder / "checkpoints/square" / LATEST
    contents = load_checkpoint(path)
    expected = command.played("--headless", "--actions", "1,2", "--seed", "4")
    published = {key: contents[key] for key in ("model", "optimizer", "lr_scheduler", "step")}
    foreign = contents["model"] if form == "bare" else published
    torch.save(foreign, path)
    played = command.played("--headless", "--actions", "1,2", "--seed", "4")
    assert [f.tobytes() for f in frames(played[0])] == [f.tobytes() for f in frames(expected[0])]


NAMED = {"action_names": ["left", "Stay", "right"]}
FAST = {"real_time_fps": 15}


@pytest.mark.parametrize(
    ("contents", "arguments", "expected"),
    [
        ({}, "", Manner()),
        ({}, "--real_time --fps 5 --idle_action 3", Manner(real_time=True, fps=5, idle_action=3)),
        ({}, "--step_by_step", Manner()),
        (NAMED, "", Manner(idle_action=2, action_names=("left", "Stay", "right"))),
        (NAMED, "--idle_action 1 --noise", Manner(noise=True, idle_action=1, action_names=("left", "Stay", "right"))),
        (FAST, "", Manner(real_time=True, fps=15)),
        (FAST, "--fps 5 --windowed", Manner(windowed=True, real_time=True, fps=5)),
        (FAST, "--step_by_step", Manner(fps=15)),
    ],
)
def test_the_checkpoint_says_how_it_is_played_unless_the_player_does(
    command: PlayCommand, monkeypatch: pytest.MonkeyPatch, contents: dict[str, Any], arguments: str, expected: Manner
) -> None:
    path = command.folder / "checkpoints/square" / LATEST
    save_checkpoint(path, load_checkpoint(path) | contents)
    seen: list[tuple[Manner, float]] = []

    def window(session: Session, manner: Manner) -> SimpleNamespace:
        return SimpleNamespace(run=lambda: seen.append((manner, session.header.frame_rate)))

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr("playing.window.Window", window)
    code, _, err = command("--no_recording", *arguments.split())
    assert code == 0, err
    assert seen == [(expected, expected.fps)]


# Refused before anything is written


def test_wrong_arguments(command: PlayCommand) -> None:
    for arguments, told in (
        (("--headless",), "--headless and --actions belong together"),
        (("--actions", "1"), "--headless and --actions belong together"),
        (("--headless", "--actions", "4"), "--actions: '4' is no key; write actions from 1 to 3"),
        (("--idle_action", "4"), "--idle_action 4: the actions of this model are 1 to 3"),
        (("--real_time", "--step_by_step"), "argument --step_by_step: not allowed with argument --real_time"),
        (("--fps", "0"), "argument --fps: 0 is not a number above 0"),
        (("--fps", "nan"), "argument --fps: nan is not a number above 0"),
    ):
        assert told in command.refused(*arguments)


def test_missing_checkpoints(command: PlayCommand) -> None:
    told = command.refused("--headless", "--actions", "1", "--set", "logging.run_name=other")
    assert "checkpoints/other/latest.pth.tar: no such checkpoint; train one with train.py, or put one there" in told


def test_a_checkpoint_of_another_model(command: PlayCommand) -> None:
    told = command.refused("--headless", "--actions", "1", "--set", "model.width_multiplier=0.5")
    assert "made with another configuration (representation_network.conv1.weight is [4, 3, 3, 3] there and" in told


def test_a_torn_checkpoint(command: PlayCommand) -> None:
    path = command.folder / "checkpoints/square" / LATEST
    path.write_bytes(path.read_bytes()[:-50])
    assert f"{path}: damaged, or not a checkpoint" in command.refused("--headless", "--actions", "1")


def test_a_checkpoint_with_names_for_other_actions(command: PlayCommand) -> None:
    path = command.folder / "checkpoints/square" / LATEST
    save_checkpoint(path, {**load_checkpoint(path), "action_names": ["left", "right"]})
    assert f"{path}: its action_names are not 3 names" in command.refused("--headless", "--actions", "1")


def test_a_foreign_recording(command: PlayCommand) -> None:
    (command.folder / "play.json").write_text("{}")
    told = command.refused("--replay", f"{command.folder}/play.json")
    assert "play.json: not a recording that can be replayed" in told


def test_a_recording_of_another_model(command: PlayCommand) -> None:
    (sequence,) = command.played("--headless", "--actions", "3")
    play_file = sequence / "play.json"
    play_file.write_text(play_file.read_text().replace('"action": 3', '"action": 4'))
    assert "of another frame size or number of actions; give its --config" in command.refused(
        "--replay", str(play_file)
    )
    play_file.write_text(play_file.read_text().replace('"action": 4', '"action": 3'))
    Image.new("RGB", (16, 16)).save(sequence / "starting_frames" / "00000.png")
    assert "of another frame size or number of actions; give its --config" in command.refused(
        "--replay", str(play_file)
    )


def test_no_screen(command: PlayCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert "--headless --actions" in command.refused()


def test_a_folder_that_cannot_be_written(command: PlayCommand) -> None:
    (command.folder / "plays").touch()
    told = command.refused("--headless", "--actions", "1")
    assert "plays is no folder; choose another --play_root, or --no_recording" in told


def test_help_does_not_wait_for_torch() -> None:
    script = "import sys; import play; assert 'torch' not in sys.modules; assert 'pygame' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
    done = subprocess.run([sys.executable, "play.py", "--help"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "example:\n  python play.py --config configs/" in done.stdout


def test_a_device_without_memory(command: PlayCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("playing.simulator.Simulator.step", lacking)
    code, _, err = command("--headless", "--actions", "1")
    assert code == 2
    assert err == (
        "error: cpu has too little memory: close other programs that use it, or choose --device cpu, then run the same "
        "command again\n"
    )

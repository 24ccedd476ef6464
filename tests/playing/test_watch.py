"""A model that is watched while training replaces its checkpoint."""

from collections.abc import Iterator
from pathlib import Path

import pygame
import pytest
import torch

from model.build import build_model
from playing import watch
from playing.starting_frames import STARTING_FRAMES
from playing.watch import HELD_STEPS, WatchedCheckpoint, WatchWindow, open_window
from tests.command import Command
from tests.synthetic import SIDE, square_configuration
from utils.checkpoint import LATEST, CheckpointError, save_checkpoint
from utils.configuration import Configuration


@pytest.fixture(autouse=True)
def _screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    yield
    pygame.quit()


@pytest.fixture
def config(tmp_path: Path) -> Configuration:
    return square_configuration(tmp_path)


def save(config: Configuration, step: int) -> Path:
    """Save a checkpoint of a step, with random weights."""
    torch.manual_seed(step)
    frames = torch.randint(256, (2, 1, SIDE, SIDE, 3), dtype=torch.uint8)
    path = config.logging.save_directory / LATEST
    save_checkpoint(path, {"model": build_model(config).state_dict(), "step": step, STARTING_FRAMES: frames})
    return path


def opened(config: Configuration, path: Path) -> WatchWindow:
    return open_window(WatchedCheckpoint(config, path, torch.device("cpu")), None, seed=0, fps=1000)


def test_it_plays_by_itself_and_begins_again_with_a_newer_checkpoint(config: Configuration) -> None:
    path = save(config, 10)
    window = opened(config, path)
    assert pygame.display.get_caption()[0] == "square, step 10"
    while window.session.game.num_steps < HELD_STEPS:
        window.update()
    first = window.session.simulator
    path.with_name(f".{LATEST}.unfinished").write_bytes(b"half of a checkpoint")
    window.update()
    assert (window.session.simulator, window.session.sequence) == (first, 1)

    save(config, 20)
    window.update()
    assert pygame.display.get_caption()[0] == "square, step 20"
    assert window.session.sequence == 2
    assert window.session.game.simulator is window.session.simulator is not first
    assert window.session.game.num_steps <= 1

    path.unlink()
    window.update()
    assert window.session.sequence == 2


def test_keys_act_in_place_of_chance(config: Configuration) -> None:
    window = opened(config, save(config, 10))
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_2))
    actions: list[int | None] = []
    while len(actions) < 2 * HELD_STEPS:
        window.update()
        actions.append(window.controls.next_action)
    assert set(actions) == {2}


def test_a_newer_checkpoint_that_cannot_be_used(config: Configuration) -> None:
    path = save(config, 10)
    window = opened(config, path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match=f"{LATEST}: damaged, or not a checkpoint"):
        window.update()


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    config = square_configuration(tmp_path)
    command = Command(watch, tmp_path, monkeypatch, capsys)
    arguments = ("--config", str(tmp_path / "square.yaml"), "--device", "cpu")
    assert command.refused().startswith("the following arguments are required: --config or --checkpoint")
    assert f"checkpoints/square/{LATEST}: no such checkpoint; train one" in command.refused(*arguments)
    save(config, 10)
    assert "nothing.png" in command.refused(*arguments, "--initial_frame", "nothing.png")
    monkeypatch.delenv("SDL_VIDEODRIVER")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert command.refused(*arguments).startswith("no window can be opened")

"""Names of actions that are asked for."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.build import build_model
from playing.hints import ACTION_NAMES
from playing.naming import name_actions, picture_of_actions
from playing.options import PlayOptions
from tests.playing.untrained import simulator
from tests.synthetic import square_configuration, write_square_videos
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.command import UserError
from utils.configuration import Configuration


@pytest.fixture
def run(tmp_path: Path) -> Configuration:
    """A run with a checkpoint."""
    write_square_videos(tmp_path / "data", {"val": 1})
    config = square_configuration(tmp_path)
    torch.manual_seed(0)
    contents = {"model": build_model(config).state_dict(), "step": 3}
    config.logging.save_directory.mkdir(parents=True)
    save_checkpoint(config.logging.save_directory / "latest.pth.tar", contents)
    return config


def answering(answers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer the questions one after the other; then there is no more to read."""
    given: Iterator[str] = iter(answers)

    def answer(_question: str) -> str:
        try:
            return next(given)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", answer)


def names(config: Configuration) -> object:
    return load_checkpoint(config.logging.save_directory / "latest.pth.tar").get(ACTION_NAMES)


def name(config: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    answering(list(answers), monkeypatch)
    name_actions(config, PlayOptions(device="cpu", play_root=tmp_path / "play"))


def test_names_are_asked_for_until_they_are_names_and_stored(
    run: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_checkpoint(run.logging.save_directory / "latest.pth.tar")
    name(run, tmp_path, monkeypatch, "left", "", "x" * 33, "stay", " right ")
    assert names(run) == ["left", "stay", "right"]
    after = load_checkpoint(run.logging.save_directory / "latest.pth.tar")
    assert after["step"] == 3
    assert all(torch.equal(weight, before["model"][key]) for key, weight in after["model"].items())
    picture = tmp_path / "play/square/actions.png"
    assert str(picture) in capsys.readouterr().out
    with Image.open(picture) as image:
        assert image.size == (8 * 96 + 7 * 2, 3 * 96 + 2 * 2)


@pytest.mark.parametrize(
    ("answers", "stored"),
    [
        (["up", "", "", "n"], ["a", "b", "c"]),
        (["up", "", "", "y"], ["up", "b", "c"]),
        (["", "", ""], ["a", "b", "c"]),
    ],
)
def test_names_are_not_replaced_unless_the_user_agrees(
    answers: list[str], stored: list[str], run: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name(run, tmp_path, monkeypatch, "a", "b", "c")
    name(run, tmp_path, monkeypatch, *answers)
    assert names(run) == stored


def test_the_checkpoint_that_is_chosen_gets_the_names(
    run: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = tmp_path / "other.pth.tar"
    save_checkpoint(chosen, load_checkpoint(run.logging.save_directory / "latest.pth.tar"))
    answering(["left", "stay", "right"], monkeypatch)
    name_actions(run, PlayOptions(device="cpu", play_root=tmp_path / "play", checkpoint=chosen))
    assert load_checkpoint(chosen)[ACTION_NAMES] == ["left", "stay", "right"]
    assert names(run) is None


def test_without_a_terminal_nothing_is_stored(
    run: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="name of action 2: no answer; nothing was stored"):
        name(run, tmp_path, monkeypatch, "left")
    assert names(run) is None


def test_each_action_has_a_row() -> None:
    game = simulator()
    frames = np.random.default_rng(0).integers(0, 256, game.stack_shape, np.uint8)
    assert picture_of_actions(game, frames).shape == (3 * 48 + 2 * 2, 8 * 96 + 7 * 2, 3)

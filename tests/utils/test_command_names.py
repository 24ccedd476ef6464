"""Texts that name commands, in the words of an installed project."""

import pytest

from utils.command_names import COMMANDS, as_installed, as_run_here


@pytest.mark.parametrize(
    ("text", "installed"),
    [
        ("python play.py --config configs/02_breakout.yaml", "playable-video play --config 02_breakout"),
        (
            "python evaluate_dataset.py --config configs/my_game.yaml",
            "playable-video evaluate --config configs/my_game.yaml",
        ),
        ("--config configs/evaluation/01_bair.yaml", "--config 01_bair"),
        ("train one with train.py, or", "train one with playable-video train, or"),
        ("python -m training.release --output a", "playable-video release --output a"),
        ("python -m dataset.inspect data", "playable-video inspect data"),
        (
            "python -m dataset.acquisition.tennis.download",
            "python -m playable_video.dataset.acquisition.tennis.download",
        ),
        ("/home/me/play.py and display.py", "/home/me/play.py and display.py"),
    ],
)
def test_commands_in_texts(text: str, installed: str) -> None:
    assert as_installed(text) == installed
    assert as_run_here(text) == text


def test_names_are_unique() -> None:
    assert len({command.name for command in COMMANDS}) == len({command.module for command in COMMANDS}) == len(COMMANDS)

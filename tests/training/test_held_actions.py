"""What each action does, read off frames in which a square is moved, lit up, or the view is shifted."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.synthetic import square_configuration
from training.held_actions import HeldActions
from utils.configuration import Configuration

SIDE = 32
ACTIONS, GAMES = 3, 6


def picture(left: int, top: int = 12, brightness: float = 1.0, background: float = -1.0) -> Tensor:
    """A frame (3, SIDE, SIDE) with a square of 6 pixels."""
    frame = torch.full((3, SIDE, SIDE), background)
    frame[:, top : top + 6, left : left + 6] = brightness
    return frame


def sequences() -> Tensor:
    """True sequences (B, T, ...) in which the square wanders, so that the median is the background."""
    return torch.stack([torch.stack([picture(2 + 7 * ((game + t) % 4)) for t in range(4)]) for game in range(GAMES)])


def held(ways: list[tuple[int, int]], background: float = -1.0, brightness: float = 1.0) -> Tensor:
    """Frames (K, B, 3, ...) in which each action moves the square by (x, y) in each step."""
    return torch.stack(
        [
            torch.stack(
                [
                    torch.stack([picture(10 + game % 3 + x * t, 12 + y * t, brightness, background) for t in range(3)])
                    for game in range(GAMES)
                ]
            )
            for x, y in ways
        ]
    )


@pytest.fixture
def config(tmp_path: Path) -> Configuration:
    return square_configuration(tmp_path)


@pytest.mark.parametrize(("background", "brightness"), [(-1.0, 1.0), (1.0, -1.0)])
def test_directions_are_told_of_bright_and_of_dark_things(
    background: float, brightness: float, config: Configuration
) -> None:
    true = sequences() * brightness
    found = HeldActions.of(held([(-3, 0), (0, 0), (2, 2)], background, brightness), true, config)
    assert found.described(None, of_camera=False) == (
        "actions that are held move things: 1 left, 2 in no direction, 3 right and down"
    )
    scalars = found.scalars()
    assert scalars["eval/action_movement_x/1"] == pytest.approx(-6, abs=1e-3)
    assert scalars["eval/action_movement_x/2"] == pytest.approx(0, abs=1e-3)
    assert scalars["eval/action_movement_y/3"] == pytest.approx(4, abs=1e-3)
    assert scalars["eval/action_effect"] == 2
    assert scalars["eval/actions_moving"] == 2
    assert scalars["eval/action_effect_unmoved"] == pytest.approx(0, abs=1e-5)
    assert scalars["eval/action_effect_outside"] == 0


def test_names_are_told(config: Configuration) -> None:
    found = HeldActions.of(held([(-3, 0), (0, 0), (3, 0)]), sequences(), config)
    assert found.described(["left", "stay", "right"], of_camera=False).endswith(
        "2 (stay) in no direction, 3 (right) right"
    )


def test_a_direction_that_not_all_games_have_is_not_told(config: Configuration) -> None:
    frames = held([(-3, 0), (0, 0), (3, 0)])
    frames[2, ::2] = held([(-3, 0)])[0, ::2]
    found = HeldActions.of(frames, sequences(), config)
    assert found.described(None, of_camera=False).endswith("1 left, 2 in no direction, 3 in no direction")


def test_a_single_game_tells_no_direction(config: Configuration) -> None:
    found = HeldActions.of(held([(-3, 0), (0, 0), (3, 0)])[:, :1], sequences()[:1], config)
    assert found.described(None, of_camera=False).count("in no direction") == ACTIONS


def test_what_lights_up_does_not_move(config: Configuration) -> None:
    frames = torch.stack([held([(0, 0)], brightness=light)[0] for light in (-1.0, 0.0, 1.0)])
    assert HeldActions.of(frames, sequences(), config).scalars()["eval/action_effect_unmoved"] == pytest.approx(1)


def test_what_lies_outside_the_played_region(tmp_path: Path) -> None:
    frames = held([(-3, 0), (0, 0), (3, 0)])
    inside = square_configuration(tmp_path, "data.play_region=[0, 8, 32, 20]")
    assert HeldActions.of(frames, sequences(), inside).scalars()["eval/action_effect_outside"] == 0
    outside = square_configuration(tmp_path, "data.play_region=[0, 20, 32, 32]")
    found = HeldActions.of(frames, sequences(), outside)
    assert found.scalars()["eval/action_effect_outside"] == 1
    assert found.described(None, of_camera=False).count("in no direction") == ACTIONS


def test_the_camera_moves_the_other_way(tmp_path: Path) -> None:
    config = square_configuration(tmp_path, "training.action_directions_motion_source=camera")
    scene = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (GAMES, 3, SIDE, SIDE)).astype(np.float32))
    frames = torch.stack(
        [torch.stack([scene.roll(shift * t, dims=-1) for t in range(3)], dim=1) for shift in (-2, 0, 2)]
    )
    found = HeldActions.of(frames, scene[:, None].expand(-1, 4, -1, -1, -1), config)
    assert found.described(None, of_camera=True) == (
        "actions that are held move the camera: 1 right, 2 in no direction, 3 left"
    )


def test_batches_are_joined(config: Configuration) -> None:
    frames, true = held([(-3, 0), (0, 0), (3, 0)]), sequences()
    whole = HeldActions.of(frames, true, config)
    halves = HeldActions.joined(
        [HeldActions.of(frames[:, part], true[part], config) for part in (slice(0, 2), slice(2, None))]
    )
    assert halves.scalars() == pytest.approx(whole.scalars(), abs=1e-4)
    assert halves.movements.shape == (ACTIONS, GAMES, 2)

"""A trained model played from Python."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import playable_video
from playing.world import World, load
from utils.command import UserError
from utils.shipped import ROOT

CHECKPOINT = ROOT / "checkpoints/00_breakout_play/latest.pth.tar"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The model that comes with the project, without a data set."""
    monkeypatch.chdir(tmp_path)
    return load(CHECKPOINT, device="cpu")


def test_it_tells_its_actions(world: World) -> None:
    assert world.num_actions == 3
    assert world.action_names == ("left", "stay", "right")


def test_a_game_is_frames(world: World) -> None:
    first = world.start()
    assert (first.shape, first.dtype) == ((96, 80, 3), np.uint8)
    frames = world.play([0, 2, 1])
    assert (frames.shape, frames.dtype) == ((3, 96, 80, 3), np.uint8)
    np.testing.assert_array_equal(frames[-1], world.frame)
    assert world.play([]).shape == (0, 96, 80, 3)

    np.testing.assert_array_equal(world.start(), first)
    np.testing.assert_array_equal(np.stack([world.step(action) for action in (0, 2, 1)]), frames)
    assert (world.start(seed=1) != first).any() or (world.start(seed=2) != first).any()


def test_it_plays_as_the_simulator_does(world: World) -> None:
    world.start()
    stack = world.starting_frames()(np.random.default_rng(0))
    moment = world.simulator.start(stack[np.newaxis])
    np.testing.assert_array_equal(world.frame, moment.frames[0])
    moment = world.simulator.step(moment, np.array([2]))
    np.testing.assert_array_equal(world.step(2), moment.frames[0])


def test_it_starts_from_pictures(world: World, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (96, 80, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    for picture in (pixels, tmp_path / "picture.png", "picture.png"):
        np.testing.assert_array_equal(world.start(picture), pixels)
    assert world.start(pixels.repeat(3, axis=0).repeat(3, axis=1)).shape == (96, 80, 3)


def test_mistakes(world: World, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no game yet; call start\(\) first"):
        world.step(0)
    with pytest.raises(UserError, match="there is no game yet"):
        world.frame  # noqa: B018
    world.start()
    for action in (-1, 3):
        with pytest.raises(UserError, match=f"action {action}: the actions of this model are 0 to 2"):
            world.step(action)
    with pytest.raises(UserError, match=r"absent\.png"):
        world.start("absent.png")
    torch.save({"model": world.simulator.model.state_dict()}, tmp_path / "bare.pth.tar")
    with pytest.raises(UserError, match="does not hold its configuration"):
        load("bare.pth.tar", device="cpu")
    assert load("bare.pth.tar", device="cpu", config="00_breakout_play").action_names is None


def test_the_package_offers_it() -> None:
    assert playable_video.load is load
    assert playable_video.World is World
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        playable_video.lode  # noqa: B018

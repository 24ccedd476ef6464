"""What moves in footage: things apart from each other, and the camera."""

from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

from dataset.video import Video, write_video
from preparation.moving_regions import find_movement, pairs_of_frames

HEIGHT, WIDTH = 64, 80


def walk(length: int, least: int, most: int, step: int, seed: int) -> list[int]:
    """A way to and fro between two positions, with random halts and turns."""
    random = default_rng(seed)
    places, way = [(least + most) // 2], step
    for _ in range(length - 1):
        way = -way if random.random() < 0.1 or not least <= places[-1] + way <= most else way
        places.append(places[-1] + way * int(random.random() < 2 / 3))
    return places


def write(path: Path, frames: np.ndarray) -> list[Video]:
    write_video(path, frames)
    return [Video(path)]


def game(length: int = 200, ball: bool = True) -> np.ndarray:
    """Two paddles that move by themselves, up and down at the left and at the right, and a ball between them."""
    frames = np.full((length, HEIGHT, WIDTH, 3), 40, np.uint8)
    left, right = walk(length, 4, 48, 4, seed=0), walk(length, 4, 48, 4, seed=1)
    for time, frame in enumerate(frames):
        frame[left[time] : left[time] + 12, 6:9] = 200
        frame[right[time] : right[time] + 12, 70:73] = 200
        if ball:
            x = abs(5 * time % 200 - 100) * 56 // 100 + 11
            y = abs(7 * time % 110 - 55) + 4
            frame[y : y + 2, x : x + 2] = 255
    return frames


@pytest.mark.parametrize("flashes", [[], [50], [50, 51, 120]])
def test_two_paddles_are_apart_and_the_ball_is_neither(flashes: list[int], tmp_path: Path) -> None:
    frames = game()
    frames[flashes] = 255 - frames[flashes]
    movement = find_movement(*pairs_of_frames(write(tmp_path / "game", frames), stride=1))
    paddles = {region.place: region for region in movement.regions if region.way == "up and down"}
    assert paddles.keys() == {"left", "right"}
    for place, columns in (("left", (6, 9)), ("right", (70, 73))):
        left, top, right, bottom = paddles[place].box
        assert left <= columns[0] < columns[1] <= right
        assert 8 <= right - left <= 16
        assert top <= 8
        assert bottom >= 56
        assert 0.4 < paddles[place].share < 0.9
    assert not movement.is_still
    assert not movement.camera_moves


def test_things_that_move_together_are_one(tmp_path: Path) -> None:
    frames = np.full((100, HEIGHT, WIDTH, 3), 40, np.uint8)
    for frame, x in zip(frames, walk(100, 8, 56, 4, seed=2), strict=True):
        frame[20:30, x : x + 8] = 200  # a body
        frame[34:40, x : x + 8] = 90  # and its feet
    (region,) = find_movement(*pairs_of_frames(write(tmp_path / "figure", frames), stride=1)).regions
    assert region.way == "sideways"
    assert region.box[1] <= 20 < 40 <= region.box[3]


def test_footage_that_stands_still_is_still(tmp_path: Path) -> None:
    frames = 100 + default_rng(0).integers(0, 10, (20, HEIGHT, WIDTH, 3), np.uint8)
    movement = find_movement(*pairs_of_frames(write(tmp_path / "still", frames), stride=1))
    assert movement.is_still
    assert movement.regions == []


@pytest.fixture
def world() -> np.ndarray:
    """A smooth coloured texture, (128, 160, 3)."""
    return default_rng(0).integers(0, 256, (32, 40, 3), np.uint8).repeat(4, axis=0).repeat(4, axis=1)


def test_a_camera_that_moves_is_told(world: np.ndarray, tmp_path: Path) -> None:
    corners = zip(walk(60, 4, 60, 3, seed=3), walk(60, 4, 40, 0, seed=4), strict=True)
    frames = np.stack([world[y : y + HEIGHT, x : x + WIDTH] for x, y in corners])
    movement = find_movement(*pairs_of_frames(write(tmp_path / "camera", frames), stride=1))
    assert movement.camera_moves
    assert 0.4 < movement.camera_share < 0.9
    assert movement.camera_shift == pytest.approx(3, abs=0.2)
    assert movement.regions == []


def test_what_moves_before_a_texture_is_no_camera(world: np.ndarray, tmp_path: Path) -> None:
    frames = np.stack([world[:HEIGHT, :WIDTH]] * 60)
    for frame, x in zip(frames, walk(60, 8, 56, 4, seed=2), strict=True):
        frame[20:30, x : x + 8] = (255, 0, 255)
    movement = find_movement(*pairs_of_frames(write(tmp_path / "world", frames), stride=1))
    assert movement.camera_share == 0
    assert len(movement.regions) == 1

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.faults import file_size_limit
from utils.images import VISIBLE_SIDE, grid, overlay, save_image, tile


def constant(value: float, height: int = 2, width: int = 3) -> torch.Tensor:
    return torch.full((3, height, width), value)


def test_a_grid_shows_rows_below_each_other_with_white_gaps() -> None:
    size = (VISIBLE_SIDE, VISIBLE_SIDE)
    rows = [
        torch.stack([constant(-1.0, *size), constant(0.0, *size)]),
        torch.stack([constant(1.0, *size), torch.stack([*constant(1.0, *size)[:1], *constant(-1.0, *size)[:2]])]),
    ]
    pixels = grid(rows, gap=2)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (2 * VISIBLE_SIDE + 2, 2 * VISIBLE_SIDE + 2, 3)
    assert (pixels[:VISIBLE_SIDE, :VISIBLE_SIDE] == 0).all()
    assert (pixels[:VISIBLE_SIDE, VISIBLE_SIDE + 2 :] == 128).all()
    assert (pixels[VISIBLE_SIDE : VISIBLE_SIDE + 2] == 255).all()
    assert (pixels[:, VISIBLE_SIDE : VISIBLE_SIDE + 2] == 255).all()
    assert (pixels[VISIBLE_SIDE + 2 :, VISIBLE_SIDE + 2 :] == (255, 0, 0)).all()


@pytest.mark.parametrize(("height", "width", "factor"), [(32, 32, 3), (16, 40, 3), (96, 64, 1), (208, 160, 1)])
def test_small_frames_are_enlarged_by_a_whole_factor(height: int, width: int, factor: int) -> None:
    frames = torch.rand(2, 3, height, width) * 2 - 1
    pixels = grid([frames], gap=1)
    assert pixels.shape == (height * factor, 2 * width * factor + 1, 3)
    first = pixels[:, : width * factor]
    assert (first[::factor, ::factor].repeat(factor, 0).repeat(factor, 1) == first).all()


def test_tiles_keep_their_size() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 4, 16, 32, 3), np.uint8)
    pixels = tile(frames, gap=4)
    assert pixels.shape == (3 * 16 + 2 * 4, 4 * 32 + 3 * 4, 3)
    for row in range(3):
        for column in range(4):
            y, x = row * 20, column * 36
            assert np.array_equal(pixels[y : y + 16, x : x + 32], frames[row, column])
    assert (pixels[16:20] == 255).all()
    assert (pixels[:, 32:36] == 255).all()


def test_an_overlay_is_red_where_the_map_is_high_and_dark_where_it_is_low() -> None:
    heat = torch.tensor([[0.0, 1.0]]).view(1, 1, 1, 2)
    tinted = overlay(torch.zeros(1, 3, 4, 8), heat)
    assert tinted.shape == (1, 3, 4, 8)
    assert tinted.abs().max() <= 1
    low, high = tinted[0, :, 0, 0], tinted[0, :, 0, -1]
    assert (low < -0.5).all()
    assert high[0] > 0.5
    assert (high[1:] < -0.5).all()


def test_saving(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    save_image(tmp_path / "a.png", pixels)
    assert (np.asarray(Image.open(tmp_path / "a.png")) == pixels).all()


def test_a_full_disk_leaves_no_half_image(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    with pytest.raises(OSError, match="too large"), file_size_limit(1000):
        save_image(tmp_path / "a.png", pixels)
    assert not list(tmp_path.iterdir())

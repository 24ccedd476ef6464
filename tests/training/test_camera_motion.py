import pytest
import torch
from torch import Tensor
from torch.nn import functional

from training import losses
from training.camera_motion import camera_movement, picture_shift


def texture(seed: int = 0) -> Tensor:
    """A smooth random picture (96, 128)."""
    noise = torch.rand(1, 1, 48, 64, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(noise, scale_factor=2, mode="bilinear")[0, 0]


def views(*corners: tuple[int, int]) -> Tensor:
    """Frames (1, T, 3, 64, 80) of a texture seen by a camera whose top left corner is at each (x, y) in turn."""
    world = texture()
    return torch.stack([world[y : y + 64, x : x + 80].expand(3, -1, -1) for x, y in corners])[None]


def test_the_camera_moves_against_the_picture() -> None:
    movement = camera_movement(views((10, 10), (15, 10), (15, 7), (15, 7)))
    torch.testing.assert_close(movement, torch.tensor([[[5.0, 0.0], [0.0, -3.0], [0.0, 0.0]]]), rtol=0, atol=0.3)


@pytest.mark.parametrize("shift", [0.25, 0.5, 2.75])
def test_shifts_between_pixels_are_told(shift: float) -> None:
    world = texture()[None]
    size = world.shape[-1]
    positions = torch.fft.fftfreq(size)
    moved = torch.fft.ifft(torch.fft.fft(world) * torch.exp(-2j * torch.pi * positions * shift)).real
    assert picture_shift(world, moved)[0].tolist() == pytest.approx([shift, 0], abs=0.15)


def test_pictures_without_texture_stand_still() -> None:
    assert picture_shift(torch.zeros(2, 32, 48), torch.ones(2, 32, 48)).tolist() == [[0, 0], [0, 0]]


def test_directions_that_follow_the_camera_lose_nothing() -> None:
    frames = views((10, 10), (14, 10), (10, 10), (10, 14), (10, 10))
    directions = 2**0.5 * torch.tensor([[[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]])
    assert losses.camera_alignment_loss(directions, frames) < 0.02
    assert losses.camera_alignment_loss(-directions, frames).item() == pytest.approx(4, rel=0.1)

"""The movement of the camera, estimated from frames by phase correlation.

Dimensions: N pairs of frames, B batch, T frames in a sequence, C channels, H x W pixels.
"""

import math

import torch
from torch import Tensor

BLUR = 1.0
"""Standard deviation in pixels of the correlation's peak, whose place is then found to a fraction of a pixel."""


def camera_movement(frames: Tensor) -> Tensor:
    """Return how far the camera moved between consecutive frames (B, T, C, H, W) along x and y, in pixels: (B, T-1, 2).

    What stands still in the world is seen to move the other way. Less than a quarter of the frame can be told.
    """
    grey = frames.detach().float().mean(dim=2)
    return -picture_shift(grey[:, :-1].flatten(0, 1), grey[:, 1:].flatten(0, 1)).unflatten(0, (len(grey), -1))


def picture_shift(before: Tensor, after: Tensor) -> Tensor:
    """Return how far grey pictures (N, H, W) have moved along x and y from `before` to `after`, in pixels: (N, 2)."""
    height, width = before.shape[-2:]
    first, second = (torch.fft.fft2(_windowed(picture)) for picture in (before, after))
    cross = second * first.conj()
    epsilon = torch.finfo(before.dtype).eps
    strength = cross.abs()
    phase = cross / strength.clamp_min(epsilon * strength.amax(dim=(-2, -1), keepdim=True).clamp_min(epsilon))
    correlation = torch.fft.ifft2(phase * _low_pass(height, width, before.device)).real
    rows, columns = _place(correlation.amax(dim=-1)), _place(correlation.amax(dim=-2))
    return torch.stack([columns, rows], dim=-1)


def _windowed(pictures: Tensor) -> Tensor:
    """Pictures (N, H, W) without their mean that fade towards the edges."""
    height, width = pictures.shape[-2:]
    rows, columns = (
        torch.hann_window(side, periodic=False, device=pictures.device, dtype=pictures.dtype)
        for side in (height, width)
    )
    return (pictures - pictures.mean(dim=(-2, -1), keepdim=True)) * rows[:, None] * columns


def _low_pass(height: int, width: int, device: torch.device) -> Tensor:
    """The transform of a normal distribution (H, W) with the standard deviation `BLUR`."""
    rows, columns = (torch.fft.fftfreq(side, device=device) for side in (height, width))
    return torch.exp(-2 * (math.pi * BLUR) ** 2 * (rows[:, None].square() + columns.square()))


def _place(profile: Tensor) -> Tensor:
    """The signed place of the peak of each cyclic profile (N, L), between the samples: (N,)."""
    length = profile.shape[-1]
    peak = profile.argmax(dim=-1, keepdim=True)
    around = [profile.gather(-1, (peak + step) % length).squeeze(-1) for step in (-1, 0, 1)]
    low, top, high = (value.clamp_min(torch.finfo(profile.dtype).tiny).log() for value in around)
    bend = (2 * top - low - high).clamp_min(torch.finfo(profile.dtype).eps)
    offset = ((high - low) / (2 * bend)).clamp(-0.5, 0.5)
    place = peak.squeeze(-1) + offset
    return torch.where(place > length / 2, place - length, place)

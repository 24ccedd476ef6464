"""Pixel-wise errors of generated frames (docs/method.md#frame-metrics).

Dimensions: B sequences, T frames of each, H x W pixels, N = B T frames. Frames are (B, T, 3, H, W) in [0, 1].
"""

from collections.abc import Callable

import torch
from torch import Tensor


def unit_frames(frames: Tensor) -> Tensor:
    """Convert frames uint8 (B, T, H, W, 3) to those that are measured: (B, T, 3, H, W) in [0, 1]."""
    return frames.movedim(-1, 2).float() / 255


def mse(reference: Tensor, generated: Tensor) -> Tensor:
    """Return the mean squared error of each frame: (B, T)."""
    return (reference - generated).square().mean(dim=(2, 3, 4))


def motion_masked_mse(reference: Tensor, generated: Tensor) -> Tensor:
    """Return the mean squared error of each frame, weighted by the change of the reference's pixels: (B, T).

    A pixel's weight is its absolute change since the previous frame, averaged over the colours; 0 in the first frame.
    """
    motion = torch.zeros_like(reference[:, :, :1])
    motion[:, 1:] = reference.diff(dim=1).abs().mean(dim=2, keepdim=True)
    return ((reference - generated).square() * motion).mean(dim=(2, 3, 4))


def psnr(reference: Tensor, generated: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each frame in decibels, at most 80: (B, T)."""
    return -10 * torch.log10(mse(reference, generated) + 1e-8)


def per_frame(
    compare: Callable[[Tensor, Tensor], Tensor], reference: Tensor, generated: Tensor, chunk_size: int
) -> Tensor:
    """Compare frame by frame, `chunk_size` frames at a time: (B, T).

    Args:
        compare: takes true and generated frames (N, 3, H, W) each and returns (N,).
        reference: true frames.
        generated: generated frames.
        chunk_size: number of frames compared at a time.
    """
    chunks = (frames.flatten(0, 1).split(chunk_size) for frames in (reference, generated))
    return torch.cat([compare(*pair) for pair in zip(*chunks, strict=True)]).unflatten(0, reference.shape[:2])

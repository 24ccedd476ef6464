"""The perceptual term, computed a few frames at a time to save memory (docs/method.md#perceptual-loss).

Only weights follow the term in a step, so the gradient of a few frames is computed together with their value, and the
network's activations are freed before the next frames. This takes little memory, and nothing is computed twice.

Dimensions: B batch, R reconstructed frames of a sequence, H x W pixels, L = 5 levels of the network.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from model.perceptual import PerceptualNetwork
from training import losses

PIXELS_AT_A_TIME = 2**18
"""Pixels compared at a time: four frames of 256x256. At least one frame of each sequence is compared at a time."""


class PerceptualDistance(NamedTuple):
    """The perceptual distance of frames from the true ones, as two scalars."""

    weighted: Tensor
    """The weighted sum over the levels."""
    plain: Tensor
    """The plain sum over the levels, without gradient."""


class PerceptualLoss(nn.Module):
    """Mean absolute differences of a frozen network's features, level by level."""

    def __init__(self, network: PerceptualNetwork, uses_bf16: bool) -> None:
        """Create the loss; `uses_bf16` computes features in bfloat16, which are still compared in float32."""
        super().__init__()
        self.network = network
        self.uses_bf16 = uses_bf16

    def forward(
        self, truth: Tensor, frames: Tensor, motion: Tensor | None, level_weights: Sequence[float]
    ) -> PerceptualDistance:
        """Compare reconstructed frames (B, R, 3, H, W) in [-1, 1] with true ones, which get no gradient.

        Args:
            truth: (B, R, 3, H, W) in [-1, 1].
            frames: (B, R, 3, H, W).
            motion: (B, R, 1, H, W) weights of the pixels, or None for equal ones.
            level_weights: L weights.
        """

        def compare(position: slice, some_frames: Tensor) -> PerceptualDistance:
            levels = self._levels(truth[:, position], some_frames, None if motion is None else motion[:, position])
            weighted = [weight * level for weight, level in zip(level_weights, levels, strict=True)]
            return PerceptualDistance(torch.stack(weighted).sum(), torch.stack(levels).detach().sum())

        return PerceptualDistance(*_Comparison.apply(frames, compare))

    def _levels(self, truth: Tensor, frames: Tensor, motion: Tensor | None) -> list[Tensor]:
        """The mean absolute difference at each level: L scalars."""
        with torch.autocast(frames.device.type, torch.bfloat16, enabled=self.uses_bf16):
            with torch.no_grad():
                true_features = self.network(truth.flatten(0, 1))
            features = self.network(frames.flatten(0, 1))
        batch_size, num_frames = frames.shape[:2]
        return losses.perceptual_level_losses(true_features, features, (batch_size, num_frames), motion)


class _Comparison(torch.autograd.Function):
    """The mean over all frames of a distance that is computed for a few frames at a time, and its gradient."""

    @staticmethod
    def forward(
        ctx: Any, frames: Tensor, compare: Callable[[slice, Tensor], PerceptualDistance]
    ) -> tuple[Tensor, Tensor]:
        batch_size, num_frames, _, height, width = frames.shape
        count = max(1, PIXELS_AT_A_TIME // (batch_size * height * width))
        needs_gradient = ctx.needs_input_grad[0]
        gradient = torch.empty_like(frames) if needs_gradient else None
        distances = []
        for first in range(0, num_frames, count):
            position = slice(first, first + count)
            with torch.set_grad_enabled(needs_gradient):
                some_frames = frames[:, position].detach().requires_grad_(needs_gradient)
                share = some_frames.shape[1] / num_frames
                weighted, plain = (share * distance for distance in compare(position, some_frames))
            if gradient is not None:
                (gradient[:, position],) = torch.autograd.grad(weighted, some_frames)
            distances.append(torch.stack([weighted.detach(), plain]))
        ctx.save_for_backward(gradient)
        weighted, plain = torch.stack(distances).sum(dim=0).unbind()
        ctx.mark_non_differentiable(plain)
        return weighted, plain

    @staticmethod
    def backward(ctx: Any, scale: Tensor, _: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * scale, None

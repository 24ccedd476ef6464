"""Folding of normalisation and pooling into adjacent convolutions, in float64.

Dimensions: I input and O output channels, k the side of a kernel.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.step_batch_norm import StepBatchNorm2d


@dataclass(frozen=True)
class Affine:
    """The map x * scale + shift of each channel, in float64."""

    scale: Tensor  # (O,)
    shift: Tensor  # (O,)

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> "Affine":
        """Return the map of a batch normalisation in evaluation mode."""
        return cls._normalising(norm, norm.running_mean, norm.running_var)

    @classmethod
    def of_steps(cls, norm: StepBatchNorm2d) -> list["Affine"]:
        """Return the maps of each first step that has its own statistics, then the one of all other steps."""
        first = range(norm.num_first_steps)
        return [
            *(cls._normalising(norm, norm.first_running_means[i], norm.first_running_vars[i]) for i in first),
            cls.of(norm),
        ]

    @classmethod
    def _normalising(cls, norm: nn.BatchNorm2d, mean: Tensor | None, variance: Tensor | None) -> "Affine":
        assert mean is not None
        assert variance is not None
        scale = norm.weight.double() / torch.sqrt(variance.double() + norm.eps)
        return cls(scale, norm.bias.double() - mean.double() * scale)


def folded(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the kernel (O, I, k, k) and bias (O,) of a convolution without bias followed by a normalisation."""
    affine = Affine.of(norm)
    return weight.double() * affine.scale[:, None, None, None], affine.shift


def pooled(kernel: Tensor, downscale: int = 2) -> Tensor:
    """Return the kernel of a convolution followed by average pooling, to be used with `downscale` as its stride.

    It is (O, I, k + 1, k + 1) for 2x2 pooling, and the given kernel for `downscale` 1.
    """
    if downscale == 1:
        return kernel
    assert downscale == 2
    shifted = [functional.pad(kernel, (dx, 1 - dx, dy, 1 - dy)) for dy in (0, 1) for dx in (0, 1)]
    return torch.stack(shifted).mean(dim=0)

"""Normalisations and poolings as parts of the convolutions beside them. All in float64.

Dimensions: I input and O output channels, k the side of a kernel.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.step_batch_norm import StepBatchNorm2d


@dataclass(frozen=True)
class Affine:
    """x * scale + shift, one of each a channel, in float64."""

    scale: Tensor  # (O)
    shift: Tensor  # (O)

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> "Affine":
        """What a batch normalisation does in evaluation mode."""
        return cls._normalising(norm, norm.running_mean, norm.running_var)

    @classmethod
    def of_steps(cls, norm: StepBatchNorm2d) -> list["Affine"]:
        """The same for each of the first steps that has statistics of its own, then for all others."""
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
    """The kernel (O, I, k, k) and bias (O) of a convolution without bias and the normalisation after it."""
    affine = Affine.of(norm)
    return weight.double() * affine.scale[:, None, None, None], affine.shift


def pooled(kernel: Tensor, downscale: int = 2) -> Tensor:
    """The kernel, with `downscale` as its stride, of a convolution and the average pooling after it.

    It is (O, I, k + 1, k + 1) where 2x2 values are pooled, and the given one where none are.
    """
    if downscale == 1:
        return kernel
    assert downscale == 2
    shifted = [functional.pad(kernel, (dx, 1 - dx, dy, 1 - dy)) for dy in (0, 1) for dx in (0, 1)]
    return torch.stack(shifted).mean(dim=0)

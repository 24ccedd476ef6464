"""Activation function of all blocks."""

from torch import Tensor
from torch.nn import functional


def activate(x: Tensor) -> Tensor:
    """Apply LeakyReLU(0.2) in place (docs/method.md#blocks)."""
    return functional.leaky_relu(x, 0.2, inplace=True)

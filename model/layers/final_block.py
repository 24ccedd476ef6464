"""The head that turns features into a frame."""

import torch
from torch import Tensor, nn


class FinalBlock(nn.Module):
    """Convolution k x k to 3 channels with bias -> tanh (SPEC section 1)."""

    def __init__(self, in_features: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_features, 3, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, I, H, W) to an RGB frame (N, 3, H, W) in [-1, 1]."""
        return torch.tanh(self.conv(x))

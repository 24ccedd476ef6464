"""Representation network E: encodes an observation as a state and an attention map."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.layers.activation import activate
from model.layers.batch_norm import BatchNorm2d
from model.layers.convolution import conv3x3, pooled_conv3x3, scaled
from model.layers.residual_block import ResidualBlock


class Encoding(NamedTuple):
    """Output of the encoder for N observations; h x w is an eighth of the frame."""

    states: Tensor  # (N, F, h, w)
    attention: Tensor  # (N, 1, h, w) in [0, 1]


class RepresentationNetwork(nn.Module):
    """Representation network E of the paper, section 3.1 (docs/method.md#encoder)."""

    def __init__(self, in_features: int, state_features: int, width_multiplier: float = 1.0) -> None:
        super().__init__()
        first, second, third = (scaled(width, width_multiplier) for width in (16, 32, 64))
        self.conv1 = conv3x3(in_features, first)
        self.bn1 = BatchNorm2d(first)
        self.residuals = nn.Sequential(
            ResidualBlock(first, first),
            ResidualBlock(first, second, downscale=2),
            ResidualBlock(second, second),
            ResidualBlock(second, third, downscale=2),
            ResidualBlock(third, third),
            ResidualBlock(third, state_features + 1),
        )

    def forward(self, observations: Tensor) -> Encoding:
        """Encode observations (N, 3S, 8h, 8w) in [-1, 1]."""
        x = activate(self.bn1(pooled_conv3x3(observations, self.conv1.weight, downscale=2)))
        x = self.residuals(x).to(self.conv1.weight.dtype)
        return Encoding(states=x[:, :-1], attention=torch.sigmoid(x[:, -1:]))

"""Residual block of the encoder, the action network and the decoder."""

from torch import Tensor, nn
from torch.nn import functional

from model.layers.activation import activate
from model.layers.batch_norm import BatchNorm2d
from model.layers.convolution import conv3x3, pooled_conv3x3


class ResidualBlock(nn.Module):
    """conv3x3 -> average-pool -> BN -> act -> conv3x3 -> BN, plus the identity, then act (docs/method.md#blocks).

    The identity goes through conv1x1 -> average-pool -> BN where the resolution or the number of features changes.
    """

    def __init__(self, in_features: int, out_features: int, downscale: int = 1) -> None:
        super().__init__()
        self.downscale = downscale
        self.conv1 = conv3x3(in_features, out_features)
        self.bn1 = BatchNorm2d(out_features)
        self.conv2 = conv3x3(out_features, out_features)
        self.bn2 = BatchNorm2d(out_features)
        self.downsample: nn.Sequential | None = None
        if downscale != 1 or in_features != out_features:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_features, out_features, kernel_size=1, bias=False),
                nn.AvgPool2d(downscale),
                BatchNorm2d(out_features),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, I, H, W) to (N, O, H / downscale, W / downscale)."""
        y = activate(self.bn1(pooled_conv3x3(x, self.conv1.weight, self.downscale)))
        y = self.bn2(self.conv2(y))
        return activate(y + self._identity(x))

    def _identity(self, x: Tensor) -> Tensor:
        if self.downsample is None:
            return x
        conv, _, norm = self.downsample
        # Averaging and a 1x1 convolution commute, and the smaller map costs less.
        return norm(conv(functional.avg_pool2d(x, self.downscale) if self.downscale > 1 else x))

"""3x3 convolutions, and their fusion with average pooling into one cheaper convolution.

Dimensions: N images, I input and O output channels, H x W pixels.
"""

from torch import Tensor, nn
from torch.nn import functional


def scaled(width: int, multiplier: float) -> int:
    """Scale a number of channels by `model.width_multiplier`, to at least 1."""
    return max(1, round(width * multiplier))


def conv3x3(in_features: int, out_features: int, bias: bool = False) -> nn.Conv2d:
    """Create a 3x3 convolution that keeps the resolution."""
    return nn.Conv2d(in_features, out_features, kernel_size=3, padding=1, bias=bias)


def pooled_conv3x3(x: Tensor, weight: Tensor, downscale: int) -> Tensor:
    """Apply a 3x3 convolution (padding 1, no bias), then average pooling.

    For `downscale` 2 both are computed as one 4x4 convolution of stride 2, with 16 multiplications per pixel instead of
    36 and without the full-resolution map in between.

    Args:
        x: (N, I, H, W), H and W divisible by `downscale`.
        weight: (O, I, 3, 3).
        downscale: the side of the pooling window, 1 for none.

    Returns:
        (N, O, H / downscale, W / downscale).
    """
    if downscale == 1:
        return functional.conv2d(x, weight, padding=1)
    if downscale == 2:
        rows = functional.pad(weight, (0, 0, 0, 1)) + functional.pad(weight, (0, 0, 1, 0))
        kernel = (functional.pad(rows, (0, 1)) + functional.pad(rows, (1, 0))) / 4
        return functional.conv2d(x, kernel, stride=2, padding=1)
    return functional.avg_pool2d(functional.conv2d(x, weight, padding=1), downscale)

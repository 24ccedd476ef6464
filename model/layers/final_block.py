"""Output head of the decoder, from features to a frame.

Dimensions: N images, I input channels, H x W pixels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class FinalBlock(nn.Module):
    """Convolution k x k to 3 channels with bias -> tanh (docs/method.md#blocks).

    Three output channels would fill few lanes of a vector unit, so each 2x2 block of pixels is computed as the 12
    channels of one pixel: a convolution of stride 2 whose kernel holds the k x k one at the block's four positions.
    """

    def __init__(self, in_features: int, kernel_size: int) -> None:
        super().__init__()
        self.padding = kernel_size // 2
        self.conv = nn.Conv2d(in_features, 3, kernel_size, padding=self.padding)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, I, H, W), H and W even, to an RGB frame (N, 3, H, W) in [-1, 1]."""
        assert self.conv.bias is not None
        places = [functional.pad(self.conv.weight, (dx, 1 - dx, dy, 1 - dy)) for dy in (0, 1) for dx in (0, 1)]
        kernel = torch.stack(places, dim=1).flatten(0, 1)  # (3 * 4, I, k + 1, k + 1), as pixel_shuffle wants it
        bias = self.conv.bias.repeat_interleave(4)
        blocks = functional.conv2d(x, kernel, bias, stride=2, padding=self.padding)
        return torch.tanh(functional.pixel_shuffle(blocks, 2).to(self.conv.weight.dtype))

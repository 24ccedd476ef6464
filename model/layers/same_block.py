"""Plain convolutional block of the dynamics network."""

from torch import Tensor, nn

from model.layers.activation import activate
from model.layers.convolution import conv3x3, pooled_conv3x3
from model.layers.step_batch_norm import StepBatchNorm2d


class SameBlock(nn.Module):
    """conv3x3 -> average-pool -> BN -> act (docs/method.md#blocks)."""

    def __init__(self, in_features: int, out_features: int, downscale: int = 1, num_first_steps: int = 0) -> None:
        super().__init__()
        self.downscale = downscale
        self.conv1 = conv3x3(in_features, out_features)
        self.bn1 = StepBatchNorm2d(out_features, num_first_steps)

    def forward(self, x: Tensor, step: int = 0) -> Tensor:
        """Map (N, I, H, W) to (N, O, H / downscale, W / downscale) at a step, counted from 0."""
        return activate(self.bn1(pooled_conv3x3(x, self.conv1.weight, self.downscale), step))

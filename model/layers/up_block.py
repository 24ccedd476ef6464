"""Upsampling block of the dynamics network and the decoder."""

from torch import Tensor, nn
from torch.nn import functional

from model.layers.activation import activate
from model.layers.convolution import conv3x3
from model.layers.step_batch_norm import StepBatchNorm2d


class UpBlock(nn.Module):
    """Bilinear x2 -> conv3x3 -> BN -> act; with `late` the x2 comes after the activation (docs/method.md#blocks)."""

    def __init__(self, in_features: int, out_features: int, late: bool = False, num_first_steps: int = 0) -> None:
        super().__init__()
        self.late = late
        self.conv = conv3x3(in_features, out_features)
        self.norm = StepBatchNorm2d(out_features, num_first_steps)

    def forward(self, x: Tensor, step: int = 0) -> Tensor:
        """Map (N, I, H, W) to (N, O, 2H, 2W) at a step, counted from 0."""
        if not self.late:
            x = _double(x)
        x = activate(self.norm(self.conv(x), step))
        return _double(x) if self.late else x


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

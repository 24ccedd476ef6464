"""The rendering network D: a hidden state becomes frames at three resolutions."""

from typing import NamedTuple

from torch import Tensor, nn

from model.layers.final_block import FinalBlock
from model.layers.residual_block import ResidualBlock
from model.layers.up_block import UpBlock


class Frames(NamedTuple):
    """The same frames at full, half and quarter resolution: (..., 3, height, width) each, in [-1, 1]."""

    full: Tensor
    half: Tensor
    quarter: Tensor


class RenderingNetwork(nn.Module):
    """D of the paper, section 3.4: three upsampling stages, each with a frame (SPEC section 1)."""

    def __init__(self, hidden_features: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        first, second, third = widths
        self.upsample_blocks = nn.ModuleList(
            [
                nn.Sequential(UpBlock(hidden_features, first), ResidualBlock(first, first)),
                nn.Sequential(UpBlock(first, second), ResidualBlock(second, second)),
                UpBlock(second, third),
            ]
        )
        self.final_blocks = nn.ModuleList(
            [FinalBlock(first, kernel_size=3), FinalBlock(second, kernel_size=3), FinalBlock(third, kernel_size=7)]
        )

    def forward(self, hidden_states: Tensor) -> Frames:
        """Render hidden states (N, H, h, w) as frames of 8h x 8w pixels and less."""
        frames = []
        x = hidden_states
        for upsample, final in zip(self.upsample_blocks, self.final_blocks, strict=True):
            x = upsample(x)
            frames.append(final(x))
        quarter, half, full = frames
        return Frames(full, half, quarter)

    def full_frame(self, hidden_states: Tensor) -> Tensor:
        """Render hidden states (N, H, h, w) at full resolution only, as play needs it."""
        x = hidden_states
        for upsample in self.upsample_blocks:
            x = upsample(x)
        frame: Tensor = self.final_blocks[-1](x)
        return frame

"""Rendering network D: decodes a hidden state to frames at three resolutions.

Dimensions: N hidden states, H hidden size, h x w state resolution, S stacked frames in an observation.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Self

from torch import Tensor, nn

from model.layers.convolution import scaled
from model.layers.final_block import FinalBlock
from model.layers.residual_block import ResidualBlock
from model.layers.up_block import UpBlock
from utils.configuration import Configuration

PUBLISHED_WIDTHS = {"model.main_model.model": (128, 64, 32), "model.reduced_model.model": (64, 32, 16)}


@dataclass(frozen=True)
class Frames:
    """Outputs of a renderer for the same frames, each (..., 3, height, width); only full resolution is always given.

    A renderer that predicts a distribution also gives the log-probabilities of p = (full + 1) / 2, so that the
    cross-entropy stays exact where p rounds to 0 or 1.
    """

    full: Tensor  # in [-1, 1]
    half: Tensor | None = None  # in [-1, 1], half the height and width
    quarter: Tensor | None = None  # in [-1, 1], a quarter of the height and width
    log_probability: Tensor | None = None  # log p, at most 0, full resolution
    log_complement: Tensor | None = None  # log(1 - p), at most 0, full resolution
    painted: Tensor | None = None  # (..., 1, height, width) in (0, 1), the share of a pixel that is not kept

    def resolutions(self) -> list[tuple[str, Tensor]]:
        """Return the available resolutions as (name, frames), the largest first."""
        named = (("full", self.full), ("half", self.half), ("quarter", self.quarter))
        return [(name, frames) for name, frames in named if frames is not None]

    def map(self, function: Callable[[Tensor], Tensor]) -> "Frames":
        """Apply a function to each available tensor."""
        return Frames.joined([self], lambda tensors: function(tensors[0]))

    @classmethod
    def joined(cls, parts: "Sequence[Frames]", join: Callable[[Sequence[Tensor]], Tensor]) -> Self:
        """Join several outputs of one renderer, given a function that joins tensors."""
        there = [field.name for field in fields(cls) if getattr(parts[0], field.name) is not None]
        return cls(**{name: join([getattr(part, name) for part in parts]) for name in there})


class Renderer(nn.Module, ABC):
    """Decoder of hidden states to frames.

    Attributes:
        gives_log_probabilities: whether its frames have log-probabilities.
        keeps_pixels: whether it keeps a part of each pixel, so that its frames have the share that is `painted`.
    """

    gives_log_probabilities = False
    keeps_pixels = False

    @abstractmethod
    def forward(self, hidden_states: Tensor, observations: Tensor) -> Frames:
        """Render hidden states as frames of 8h x 8w pixels and, depending on the renderer, lower resolutions.

        Args:
            hidden_states: (N, H, h, w).
            observations: (N, 3S, 8h, 8w) in [-1, 1], the observation before each frame, newest frame first.
        """

    def full_frame(self, hidden_states: Tensor, observations: Tensor) -> Tensor:
        """Render at full resolution only, (N, 3, 8h, 8w) in [-1, 1], for play."""
        frames: Frames = self(hidden_states, observations)
        return frames.full


class RenderingNetwork(Renderer):
    """Rendering network D of the paper, section 3.4 (docs/method.md#decoder).

    It has three upsampling stages, each with a frame.
    """

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

    def forward(self, hidden_states: Tensor, observations: Tensor) -> Frames:  # noqa: ARG002
        """Render frames at three resolutions, as `Renderer.forward`."""
        frames = []
        x = hidden_states
        for upsample, final in zip(self.upsample_blocks, self.final_blocks, strict=True):
            x = upsample(x)
            frames.append(final(x))
        quarter, half, full = frames
        return Frames(full, half, quarter)

    def full_frame(self, hidden_states: Tensor, observations: Tensor) -> Tensor:  # noqa: ARG002
        """As `Renderer.full_frame`, without the heads of lower resolutions."""
        x = hidden_states
        for upsample in self.upsample_blocks:
            x = upsample(x)
        frame: Tensor = self.final_blocks[-1](x)
        return frame


def published_renderer(config: Configuration) -> RenderingNetwork:
    """Build the decoder of a published architecture."""
    model = config.model
    first, second, third = (scaled(width, model.width_multiplier) for width in PUBLISHED_WIDTHS[model.architecture])
    return RenderingNetwork(model.dynamics_network.hidden_state_size, (first, second, third))

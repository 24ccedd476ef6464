"""A renderer that sees the frame it continues: the next frame as a change of the current one.

The published decoder paints every frame from the hidden state alone, through tanh and with an L1 loss. Black is the end
of tanh: the last layer is pushed there, and a rare bright pixel gets no gradient back through it. What stands still has
to be painted anew in each frame, and small things blur.

Here each pixel is either kept or painted. With k the share that is kept, c the current and s the painted value, all in
(0, 1), the frame is p = k c + (1 - k) s, and training sees log p and log(1 - p), computed without leaving logarithms:
where nothing moves, keeping is exact and costs nothing, and where something has to be painted, the gradient does not
vanish, however dark the pixel and however sure the network was of keeping it.

What moves is looked at apart from what is there. Under one normalisation the difference between two frames, a few
pixels, drowns in walls and scenery.

Dimensions: N images, S stacked frames in an observation, C channels, H hidden size, 8h x 8w pixels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.activation import activate
from model.layers.convolution import scaled
from model.rendering import Frames, Renderer
from utils.command import UserError
from utils.configuration import Configuration

WIDTH = 32
"""Channels at full resolution, before `model.width_multiplier`; twice as many at half, four times at a quarter."""

CHANNELS_IN_A_GROUP = 8
"""Of the group normalisations, which do in play what they do in training."""

NUM_QUARTER_BLOCKS, NUM_FULL_BLOCKS = 2, 2
"""Residual blocks where the hidden state joins, and blocks at full resolution before the head."""

INITIAL_KEEPING = 4.0
"""The logit of keeping a pixel to start from: nearly everything stands still from the first step on."""

DARKEST = 1e-3
"""How far a pixel that is kept stays from 0 and 1, a quarter of a byte's smallest step, so that it has a logarithm."""


class NormalizedConvolution(nn.Module):
    """Convolution -> group normalisation, perhaps -> activation."""

    def __init__(self, in_features: int, out_features: int, kernel_size: int = 3, stride: int = 1) -> None:
        super().__init__()
        padding = (kernel_size - 1) // 2
        self.conv = nn.Conv2d(in_features, out_features, kernel_size, stride, padding, bias=False)
        self.norm = nn.GroupNorm(max(1, out_features // CHANNELS_IN_A_GROUP), out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, I, H, W) to (N, O, H / stride, W / stride), before the activation."""
        normalized: Tensor = self.norm(self.conv(x))
        return normalized


class SeeingRenderer(Renderer):
    """A U-Net from an observation to the change of its newest frame, which the hidden state joins at a quarter of the
    resolution.
    """

    def __init__(self, hidden_features: int, stacking: int, width: int) -> None:
        """Make one with random weights.

        Args:
            hidden_features: H.
            stacking: S, at least 2: movement is the difference of two frames.
            width: channels at full resolution, an even number.
        """
        super().__init__()
        full, half, quarter = width, 2 * width, 4 * width
        self.appearance = NormalizedConvolution(3 * stacking, full // 2)
        self.movement = NormalizedConvolution(3 * (stacking - 1), full // 2)
        self.to_half = NormalizedConvolution(full, half, kernel_size=4, stride=2)
        self.to_quarter = NormalizedConvolution(half, quarter, kernel_size=4, stride=2)
        self.from_hidden = NormalizedConvolution(hidden_features, quarter)
        self.quarter_blocks = nn.ModuleList(NormalizedConvolution(quarter, quarter) for _ in range(NUM_QUARTER_BLOCKS))
        self.from_quarter = NormalizedConvolution(quarter, half)
        self.half_block = NormalizedConvolution(half, half)
        self.from_half = NormalizedConvolution(half, full)
        self.full_blocks = nn.ModuleList(NormalizedConvolution(full, full) for _ in range(NUM_FULL_BLOCKS))
        self.head = nn.Conv2d(full, 4, kernel_size=3, padding=1)
        nn.init.zeros_(self.head.bias)
        nn.init.constant_(self.head.bias[3:], INITIAL_KEEPING)

    def forward(self, hidden_states: Tensor, observations: Tensor) -> Frames:
        """Frames of full resolution with their log-probabilities, as `Renderer.forward`."""
        painted, keeping = self._change(hidden_states, observations)
        current = _squeezed(observations[:, :3])
        log_keeping, log_painting = functional.logsigmoid(keeping), functional.logsigmoid(-keeping)
        return Frames(
            full=_blended(painted, keeping, observations),
            log_probability=torch.logaddexp(log_keeping + current.log(), log_painting + functional.logsigmoid(painted)),
            log_complement=torch.logaddexp(
                log_keeping + (1 - current).log(), log_painting + functional.logsigmoid(-painted)
            ),
        )

    def full_frame(self, hidden_states: Tensor, observations: Tensor) -> Tensor:
        """As `Renderer.full_frame`, without the log-probabilities."""
        return _blended(*self._change(hidden_states, observations), observations)

    def _change(self, hidden_states: Tensor, observations: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of what is painted (N, 3, 8h, 8w) and of keeping what is there (N, 1, 8h, 8w)."""
        movement = observations[:, :-3] - observations[:, 3:]
        seen = torch.cat([activate(self.appearance(observations)), activate(self.movement(movement))], dim=1)
        half = activate(self.to_half(seen))
        quarter = activate(self.to_quarter(half)) + _doubled(activate(self.from_hidden(hidden_states)))
        for block in self.quarter_blocks:
            quarter = activate(quarter + block(quarter))
        half = activate(self.half_block(activate(half + _doubled(self.from_quarter(quarter)))))
        full = activate(seen + _doubled(self.from_half(half)))
        for block in self.full_blocks:
            full = activate(block(full))
        logits = self.head(full).to(self.head.weight.dtype)
        return logits[:, :3], logits[:, 3:]


def seeing_renderer(config: Configuration) -> SeeingRenderer:
    """The renderer of `model.seeing_model.model`. `UserError` if an observation is a single frame."""
    stacking = config.training.batching.observation_stacking
    if stacking < 2:
        raise UserError(
            "training.batching.observation_stacking: the seeing model sees movement in two frames; set it to 2, and "
            "evaluation.batching.observation_stacking too"
        )
    if config.training.pretraining_steps and config.training.pretraining_frames != "predicted":
        raise UserError(
            "training.pretraining_frames: the seeing model would see the frame that it is to paint; set it to predicted"
        )
    width = 2 * scaled(WIDTH // 2, config.model.width_multiplier)
    return SeeingRenderer(config.model.dynamics_network.hidden_state_size, stacking, width)


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _squeezed(frames: Tensor) -> Tensor:
    """Frames in [-1, 1] as values in [DARKEST, 1 - DARKEST]."""
    return DARKEST + (1 - 2 * DARKEST) * (frames + 1) / 2


def _blended(painted: Tensor, keeping: Tensor, observations: Tensor) -> Tensor:
    """The frame (N, 3, 8h, 8w) in [-1, 1] that the newest one becomes: what is kept stays exactly as it is."""
    paint = (2 * torch.sigmoid(painted) - 1) / (1 - 2 * DARKEST)
    return torch.lerp(paint.clamp(-1, 1), observations[:, :3], torch.sigmoid(keeping))

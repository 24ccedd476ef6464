"""Renderer that sees the current frame and predicts the next one as a change of it.

The published decoder draws every frame from the hidden state alone, through tanh and with an L1 loss. Black is at the
end of tanh's range: the last layer saturates there, and a rare bright pixel gets no gradient. Static content has to be
redrawn in every frame, and small objects blur.

Here each pixel is a blend of kept and painted. With k the share that is kept, c the current and s the painted value,
all in (0, 1), the frame is p = k c + (1 - k) s, and the loss takes log p and log(1 - p), computed in log space: where
nothing moves, keeping is exact and costs nothing, and where something has to be painted, the gradient does not vanish,
however dark the pixel, until the share that is painted falls below `DARKEST`.

Appearance and movement have separate convolutions: under a common normalisation, the difference between two frames, a
few pixels, would be drowned out by walls and scenery. The movement stream also sees a motion extrapolation: where
objects would be next at the same velocity, a correlation of what appeared with what vanished, as used for optical flow
(Dosovitskiy et al., FlowNet, 2015).

Dimensions: N images, S stacked frames in an observation, H hidden size, 8h x 8w pixels.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.activation import activate
from model.layers.convolution import scaled
from model.rendering import Frames, Renderer
from utils.command import UserError
from utils.configuration import Configuration

WIDTH = 32
"""Channels, before `model.width_multiplier`."""

DILATIONS = (1, 1, 2, 4, 1, 1)
"""Dilations of the convolutions between the two streams and the head; the receptive field is 12 pixels to each side."""

CHANNELS_IN_A_GROUP = 8
"""Channels per group of the group normalisations, which behave the same in training and play.

Groups are larger where 8 does not divide the number of channels.
"""

INITIAL_KEEPING = 4.0
"""Initial logit of keeping a pixel: at first nearly everything is kept."""

INITIAL_HIDDEN_GAIN = 0.3
"""Initial scale of the hidden state's features, which carry no information yet, relative to those of the frames."""

DARKEST = 1e-3
"""Minimum distance of a kept pixel from 0 and 1, a quarter of an 8-bit step, so that its logarithm is finite."""

UNDECIDED = 0.1
"""A pixel whose kept share is below this is fully painted in a frame, and one whose painted share is below it is kept.

Otherwise a trace of paint in each step would blur static content over hundreds of steps (stretched as in the hard
concrete distribution of Louizos et al., 2018).
"""

STRONGEST = 2.0
"""Upper limit of the extrapolated brightness: the difference between black and white."""


class NormalizedConvolution(nn.Module):
    """Convolution 3x3 -> group normalisation."""

    def __init__(self, in_features: int, out_features: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_features, out_features, 3, padding=dilation, dilation=dilation, bias=False)
        num_groups = math.gcd(out_features, max(1, out_features // CHANNELS_IN_A_GROUP))
        self.norm = nn.GroupNorm(num_groups, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, I, H, W) to (N, O, H, W)."""
        normalized: Tensor = self.norm(self.conv(x))
        return normalized


class SeeingRenderer(Renderer):
    """Dilated convolutions at full resolution over appearance, movement and the hidden state."""

    gives_log_probabilities = True
    keeps_pixels = True

    def __init__(self, hidden_features: int, stacking: int, width: int, reach: int) -> None:
        """Create the network with random weights.

        Args:
            hidden_features: H.
            stacking: S, at least 2: movement is the difference of two frames.
            width: number of channels, even.
            reach: maximum displacement per step in pixels, along either axis.
        """
        super().__init__()
        self.reach = reach
        self.appearance = NormalizedConvolution(3 * stacking, width // 2)
        self.movement = NormalizedConvolution(3 * (stacking - 1) + 1, width // 2)
        self.from_hidden = NormalizedConvolution(hidden_features, width)
        self.blocks = nn.ModuleList(NormalizedConvolution(width, width, dilation) for dilation in DILATIONS)
        self.head = nn.Conv2d(width, 4, kernel_size=3, padding=1)
        nn.init.constant_(self.from_hidden.norm.weight, INITIAL_HIDDEN_GAIN)
        assert self.head.bias is not None
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([0.0, 0.0, 0.0, INITIAL_KEEPING]))

    def forward(self, hidden_states: Tensor, observations: Tensor) -> Frames:
        """Render frames at full resolution with their log-probabilities, as `Renderer.forward`."""
        painted, keeping = self._change(hidden_states, observations)
        current = DARKEST + (1 - 2 * DARKEST) * (observations[:, :3] + 1) / 2
        log_keeping, log_painting = functional.logsigmoid(keeping), functional.logsigmoid(-keeping)
        return Frames(
            full=_blended(painted, keeping, observations),
            log_probability=torch.logaddexp(log_keeping + current.log(), log_painting + functional.logsigmoid(painted)),
            log_complement=torch.logaddexp(
                log_keeping + (1 - current).log(), log_painting + functional.logsigmoid(-painted)
            ),
            painted=torch.sigmoid(-keeping),
        )

    def full_frame(self, hidden_states: Tensor, observations: Tensor) -> Tensor:
        """As `Renderer.full_frame`, without the log-probabilities."""
        return _blended(*self._change(hidden_states, observations), observations)

    def _change(self, hidden_states: Tensor, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the logits of the painted frame (N, 3, 8h, 8w) and of keeping each pixel (N, 1, 8h, 8w)."""
        difference = observations[:, :-3] - observations[:, 3:]
        movement = torch.cat([difference, foretold(observations, self.reach)], dim=1)
        x = activate(torch.cat([self.appearance(observations), self.movement(movement)], dim=1))
        hidden = self.from_hidden(hidden_states)
        x = x + functional.interpolate(hidden, scale_factor=8, mode="bilinear", align_corners=False)
        for block in self.blocks:
            x = activate(block(x))
        logits = self.head(x).to(self.head.weight.dtype)
        return logits[:, :3], logits[:, 3:]


@torch.no_grad()
def foretold(observations: Tensor, reach: int) -> Tensor:
    """Extrapolate the movement between the two newest frames by one step at constant velocity.

    Each pixel gets the sum over all non-zero displacements d of (brightness that appeared at -d) times (brightness that
    vanished at -2d). There is no gradient.

    Args:
        observations: (N, 3S, H, W) in [-1, 1], newest frame first, S at least 2.
        reach: largest displacement in pixels along either axis.

    Returns:
        (N, 1, H, W) in [0, `STRONGEST`].
    """
    difference = observations[:, :3] - observations[:, 3:6]
    height, width = difference.shape[-2:]
    appeared = functional.pad(difference.amax(dim=1, keepdim=True).relu(), (reach,) * 4)
    vanished = functional.pad((-difference).amax(dim=1, keepdim=True).relu(), (2 * reach,) * 4)
    total = torch.zeros_like(difference[:, :1])
    for down in range(2 * reach + 1):
        appeared_rows = appeared[:, :, down : down + height].contiguous()
        vanished_rows = vanished[:, :, 2 * down : 2 * down + height].contiguous()
        for right in range(2 * reach + 1):
            if down != reach or right != reach:
                total.addcmul_(
                    appeared_rows[..., right : right + width], vanished_rows[..., 2 * right : 2 * right + width]
                )
    return total.clamp(max=STRONGEST)


def seeing_renderer(config: Configuration) -> SeeingRenderer:
    """Build the renderer of `model.seeing_model.model`.

    Raises:
        UserError: an observation is a single frame, or pretraining would show the frame to be predicted.
    """
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
    model = config.model
    width = 2 * scaled(WIDTH // 2, model.width_multiplier)
    return SeeingRenderer(model.dynamics_network.hidden_state_size, stacking, width, model.rendering_network.reach)


def _blended(painted: Tensor, keeping: Tensor, observations: Tensor) -> Tensor:
    """Blend the newest frame with the painted one: (N, 3, 8h, 8w) in [-1, 1]."""
    paint = (2 * torch.sigmoid(painted) - 1) / (1 - 2 * DARKEST)
    share = (torch.sigmoid(keeping) - UNDECIDED) / (1 - 2 * UNDECIDED)
    return torch.lerp(paint.clamp(-1, 1), observations[:, :3], share.clamp(0, 1))

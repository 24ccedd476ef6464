"""Unoptimised baseline of the training-step benchmark: docs/method.md#networks, operation by operation.

Parameters and results are those of `model.caddy.Caddy`; the four gate convolutions are separate, every convolution runs
at the resolution given in the document, and the memory layout is contiguous.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.build import build_model
from model.layers.conv_lstm import ConvLSTM, ConvLSTMCell, FusedGates, LSTMState
from model.layers.final_block import FinalBlock
from model.layers.residual_block import ResidualBlock
from model.layers.same_block import SameBlock
from model.playable import PlayableModel
from model.rendering import Renderer, RenderingNetwork
from model.representation import Encoding, RepresentationNetwork
from utils.command import UserError
from utils.configuration import Configuration


class PlainResidualBlock(ResidualBlock):
    """conv3x3 -> average-pool -> BN -> act -> conv3x3 -> BN, plus conv1x1 -> average-pool -> BN, then act."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = functional.avg_pool2d(self.conv1(x), self.downscale)
        y = self.bn2(self.conv2(functional.leaky_relu(self.bn1(y), 0.2)))
        identity = x if self.downsample is None else self.downsample(x)
        return functional.leaky_relu(y + identity, 0.2)


class PlainSameBlock(SameBlock):
    """conv3x3 -> average-pool -> BN -> act."""

    def forward(self, x: Tensor, step: int = 0) -> Tensor:
        """See the class."""
        return functional.leaky_relu(self.bn1(functional.avg_pool2d(self.conv1(x), self.downscale), step), 0.2)


class PlainFinalBlock(FinalBlock):
    """Convolution k x k -> tanh."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return torch.tanh(self.conv(x))


class PlainConvLSTMCell(ConvLSTMCell):
    """ConvLSTM cell without fused gates."""

    def fused(self) -> FusedGates:
        """Return empty tensors: the gates are computed one by one."""
        return FusedGates(torch.empty(0), torch.empty(0))


class PlainConvLSTM(ConvLSTM):
    """ConvLSTM with four convolutions per step."""

    def forward(self, inputs: list[Tensor], state: LSTMState, gates: FusedGates) -> LSTMState:  # noqa: ARG002
        """See the class."""
        x = torch.cat([*inputs, state.hidden], dim=1)
        i = torch.sigmoid(self.cell.input_gate(x))
        f = torch.sigmoid(self.cell.forget_gate(x))
        o = torch.sigmoid(self.cell.output_gate(x))
        cell = f * state.cell + i * torch.tanh(self.cell.cell_gate(x))
        return LSTMState(o * torch.tanh(cell), cell)


class PlainRepresentationNetwork(RepresentationNetwork):
    """conv3x3 -> average-pool 2 -> BN -> act, then residuals."""

    def forward(self, observations: Tensor) -> Encoding:
        """See the class."""
        x = functional.leaky_relu(self.bn1(functional.avg_pool2d(self.conv1(observations), 2)), 0.2)
        x = self.residuals(x)
        return Encoding(states=x[:, :-1], attention=torch.sigmoid(x[:, -1:]))


class PlainRenderingNetwork(RenderingNetwork):
    """Decoder that always renders all three resolutions."""

    full_frame = Renderer.full_frame


PLAIN_CLASSES: dict[type[nn.Module], type[nn.Module]] = {
    ResidualBlock: PlainResidualBlock,
    SameBlock: PlainSameBlock,
    FinalBlock: PlainFinalBlock,
    ConvLSTM: PlainConvLSTM,
    ConvLSTMCell: PlainConvLSTMCell,
    RepresentationNetwork: PlainRepresentationNetwork,
    RenderingNetwork: PlainRenderingNetwork,
}


def plain_caddy(config: Configuration) -> PlayableModel:
    """Build a `Caddy` with the parameters of `build_model(config)` and without optimisations.

    The seeing renderer has none and stays the same.
    """
    model = build_model(config).to(memory_format=torch.contiguous_format)
    for module in model.modules():
        if type(module) in PLAIN_CLASSES:
            module.__class__ = PLAIN_CLASSES[type(module)]
    return model


PLAIN_MODELS: dict[str, Callable[[Configuration], PlayableModel]] = {
    "model.main_model.model": plain_caddy,
    "model.reduced_model.model": plain_caddy,
    "model.seeing_model.model": plain_caddy,
}
"""Builder of the plain variant for each architecture that has one."""


def plain_model(config: Configuration) -> PlayableModel:
    """Build the plain variant of a configuration's model.

    Raises:
        UserError: there is none.
    """
    name = config.model.architecture
    if name not in PLAIN_MODELS:
        raise UserError(f"model.architecture: {name} has no plain variant to compare with; use another configuration")
    return PLAIN_MODELS[name](config)

"""Convolutional LSTM with an explicit state and its four gates fused into one convolution.

Dimensions: B batch, I input channels (auxiliary maps included), H hidden channels, h x w resolution.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.convolution import conv3x3


class LSTMState(NamedTuple):
    """Recurrent state of a ConvLSTM."""

    hidden: Tensor  # (B, H, h, w)
    cell: Tensor  # (B, H, h, w)


class FusedGates(NamedTuple):
    """The four gate convolutions fused: input, forget and output gate, then the candidate."""

    weight: Tensor  # (4H, I + H, 3, 3)
    bias: Tensor  # (4H,)


class ConvLSTMCell(nn.Module):
    """The parameters of the four gates, named as in published checkpoints."""

    def __init__(self, in_features: int, hidden_features: int) -> None:
        super().__init__()
        self.input_gate = conv3x3(in_features + hidden_features, hidden_features, bias=True)
        self.forget_gate = conv3x3(in_features + hidden_features, hidden_features, bias=True)
        self.output_gate = conv3x3(in_features + hidden_features, hidden_features, bias=True)
        self.cell_gate = conv3x3(in_features + hidden_features, hidden_features, bias=True)

    def fused(self) -> FusedGates:
        """Fuse the gates into one convolution, once per rollout."""
        gates = (self.input_gate, self.forget_gate, self.output_gate, self.cell_gate)
        biases = [gate.bias for gate in gates if gate.bias is not None]
        return FusedGates(torch.cat([gate.weight for gate in gates]), torch.cat(biases))


class ConvLSTM(nn.Module):
    """ConvLSTM with a learned initial state (docs/method.md#blocks)."""

    def __init__(self, in_features: int, hidden_features: int, resolution: tuple[int, int]) -> None:
        super().__init__()
        self.cell = ConvLSTMCell(in_features, hidden_features)
        self.initial_hidden_state = nn.Parameter(torch.zeros(hidden_features, *resolution))
        self.initial_hidden_cell_state = nn.Parameter(torch.zeros(hidden_features, *resolution))

    def initial_state(self, batch_size: int) -> LSTMState:
        """Return the learned state before the first step, repeated over the batch."""
        return LSTMState(
            *(
                initial.unsqueeze(0).expand(batch_size, -1, -1, -1).contiguous(memory_format=torch.channels_last)
                for initial in (self.initial_hidden_state, self.initial_hidden_cell_state)
            )
        )

    def forward(self, inputs: list[Tensor], state: LSTMState, gates: FusedGates) -> LSTMState:
        """Run one step.

        Args:
            inputs: maps (B, ?, h, w) whose channels together are the I input channels, in order.
            state: the state after the previous step, not modified.
            gates: this cell's `fused()` gates.

        Returns:
            The new state; its hidden part is also the output.
        """
        maps = functional.conv2d(torch.cat([*inputs, state.hidden], dim=1), gates.weight, gates.bias, padding=1)
        features = state.hidden.shape[1]
        i, f, o = torch.sigmoid(maps[:, : 3 * features]).chunk(3, dim=1)
        candidate = torch.tanh(maps[:, 3 * features :])
        cell = f * state.cell + i * candidate
        return LSTMState(o * torch.tanh(cell), cell)

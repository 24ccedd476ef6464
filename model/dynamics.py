"""Dynamics network R: predicts the next hidden state from state, action and variation.

Dimensions: B batch, F state features, H hidden size, K actions, D action-space dimension, h x w state resolution.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.layers.conv_lstm import ConvLSTM, FusedGates, LSTMState
from model.layers.same_block import SameBlock
from model.layers.step_batch_norm import StepBatchNorm2d
from model.layers.up_block import UpBlock


@dataclass(frozen=True)
class DynamicsState:
    """Recurrent state of the dynamics network, passed explicitly from step to step."""

    layers: tuple[LSTMState, ...]
    """One per ConvLSTM."""
    step: int
    """Number of steps taken so far, capped at the number of steps with their own normalisation statistics."""


class DynamicsNetwork(nn.Module):
    """Dynamics network R of the paper, section 3.3 (docs/method.md#dynamics).

    It has three ConvLSTMs, the middle one at half resolution.
    """

    def __init__(
        self,
        state_features: int,
        hidden_features: int,
        auxiliary_features: int,
        resolution: tuple[int, int],
        num_first_steps: int = 0,
    ) -> None:
        super().__init__()
        f, h, a = state_features, hidden_features, auxiliary_features
        self.num_first_steps = n = num_first_steps  # steps with their own normalisation statistics
        half = (resolution[0] // 2, resolution[1] // 2)
        self.recurrent_layers_blocks = nn.ModuleList(
            nn.ModuleList([ConvLSTM(i + a, o, size), StepBatchNorm2d(o, n)])
            for i, o, size in ((f, h, resolution), (2 * h, 2 * h, half), (h, h, resolution))
        )
        self.non_recurrent_blocks = nn.ModuleList(
            [
                SameBlock(h + a, 2 * h, downscale=2, num_first_steps=n),
                UpBlock(2 * h + a, h, late=True, num_first_steps=n),
                SameBlock(h + a, h, num_first_steps=n),
            ]
        )

    def initial_state(self, batch_size: int) -> DynamicsState:
        """Return the learned recurrent state before the first step."""
        return DynamicsState(tuple(lstm.initial_state(batch_size) for lstm, _ in self._recurrent_layers()), step=0)

    def fused_gates(self) -> tuple[FusedGates, ...]:
        """Return each ConvLSTM's gates fused into one convolution, to be built once per rollout."""
        return tuple(lstm.cell.fused() for lstm, _ in self._recurrent_layers())

    def forward(
        self, states: Tensor, actions: Tensor, variations: Tensor, memory: DynamicsState, gates: tuple[FusedGates, ...]
    ) -> tuple[Tensor, DynamicsState]:
        """Run one step.

        Args:
            states: (B, F, h, w) current state.
            actions: (B, K) action weights.
            variations: (B, D) action variations.
            memory: recurrent state after the previous step, not modified.
            gates: this network's `fused_gates()`.

        Returns:
            The hidden state (B, H, h, w) for the decoder, and the new recurrent state.
        """
        vectors = torch.cat([actions, variations], dim=1)[:, :, None, None]
        height, width = states.shape[-2:]
        full = vectors.expand(-1, -1, height, width)
        half = vectors.expand(-1, -1, height // 2, width // 2)
        auxiliaries = ((full, full), (half, half), (full, full))  # inputs of each ConvLSTM and of the block after it
        new_layers = []
        x = states
        for (lstm, norm), block, layer, gate, (before, after) in zip(
            self._recurrent_layers(), self.non_recurrent_blocks, memory.layers, gates, auxiliaries, strict=True
        ):
            new_layer = lstm([x, before], layer, gate)
            new_layers.append(new_layer)
            x = block(torch.cat([norm(new_layer.hidden, memory.step), after], dim=1), memory.step)
        return x.to(states.dtype), DynamicsState(tuple(new_layers), min(memory.step + 1, self.num_first_steps))

    def _recurrent_layers(self) -> list[tuple[ConvLSTM, StepBatchNorm2d]]:
        return [(layer[0], layer[1]) for layer in self.recurrent_layers_blocks]  # type: ignore[index]

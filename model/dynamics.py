"""The dynamics network R: state, action and variation become the next hidden state.

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
    """The recurrent state: a value that goes in and comes out of every step."""

    layers: tuple[LSTMState, ...]  # one per ConvLSTM
    step: int  # how many steps led to it, counted no further than normalisation statistics differ


class DynamicsNetwork(nn.Module):
    """R of the paper, section 3.3: three ConvLSTMs, the middle one at half resolution (docs/method.md#dynamics)."""

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
        self.num_first_steps = n = num_first_steps  # with normalisation statistics of their own
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
        """The learned recurrent state before the first step."""
        return DynamicsState(tuple(lstm.initial_state(batch_size) for lstm, _ in self._recurrent_layers()), step=0)

    def fused_gates(self) -> tuple[FusedGates, ...]:
        """Each ConvLSTM's gates as one convolution, to be built once and used for all steps of a rollout."""
        return tuple(lstm.cell.fused() for lstm, _ in self._recurrent_layers())

    def forward(
        self, states: Tensor, actions: Tensor, variations: Tensor, memory: DynamicsState, gates: tuple[FusedGates, ...]
    ) -> tuple[Tensor, DynamicsState]:
        """One step.

        Args:
            states: (B, F, h, w) the current state.
            actions: (B, K) weights of the actions.
            variations: (B, D) action variations.
            memory: the recurrent state left by the previous step, not changed.
            gates: this network's `fused_gates()`.

        Returns:
            The hidden state (B, H, h, w) that the decoder renders, and the new recurrent state.
        """
        vectors = torch.cat([actions, variations], dim=1)[:, :, None, None]
        height, width = states.shape[-2:]
        full = vectors.expand(-1, -1, height, width)
        half = vectors.expand(-1, -1, height // 2, width // 2)
        auxiliaries = ((full, full), (half, half), (full, full))  # at the input of each ConvLSTM, of the block after it
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

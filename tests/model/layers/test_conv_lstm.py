import pytest
import torch
from torch import Tensor

from model.layers.conv_lstm import ConvLSTM, LSTMState


@pytest.fixture
def lstm() -> ConvLSTM:
    torch.manual_seed(0)
    lstm = ConvLSTM(in_features=5, hidden_features=3, resolution=(2, 4)).double()
    torch.nn.init.normal_(lstm.initial_hidden_state)
    torch.nn.init.normal_(lstm.initial_hidden_cell_state)
    return lstm


@pytest.fixture
def inputs() -> list[list[Tensor]]:
    """Three steps of a map of 4 channels and an auxiliary one."""
    torch.manual_seed(1)
    return [[torch.randn(2, channels, 2, 4, dtype=torch.float64) for channels in (4, 1)] for _ in range(3)]


def plain_step(lstm: ConvLSTM, x: Tensor, auxiliary: Tensor, state: LSTMState) -> LSTMState:
    stacked = torch.cat([x, auxiliary, state.hidden], dim=1)
    i, f, o = (
        torch.sigmoid(gate(stacked)) for gate in (lstm.cell.input_gate, lstm.cell.forget_gate, lstm.cell.output_gate)
    )
    cell = f * state.cell + i * torch.tanh(lstm.cell.cell_gate(stacked))
    return LSTMState(o * torch.tanh(cell), cell)


def test_fused_gates_equal_four_convolutions(lstm: ConvLSTM, inputs: list[list[Tensor]]) -> None:
    results = []
    for fused in (True, False):
        state = lstm.initial_state(batch_size=2)
        gates = lstm.cell.fused()
        for x, auxiliary in inputs:
            state = lstm([x, auxiliary], state, gates) if fused else plain_step(lstm, x, auxiliary, state)
        gradients = torch.autograd.grad((state.hidden + state.cell).square().sum(), tuple(lstm.parameters()))
        results.append((state.hidden.detach(), state.cell.detach(), gradients))

    torch.testing.assert_close(results[0], results[1])


def test_the_initial_state_is_learned_and_repeated_over_the_batch(lstm: ConvLSTM) -> None:
    state = lstm.initial_state(batch_size=3)

    for maps, initial in zip(state, (lstm.initial_hidden_state, lstm.initial_hidden_cell_state), strict=True):
        assert torch.equal(maps, initial.expand(3, -1, -1, -1))
        (gradient,) = torch.autograd.grad(maps.sum(), initial)
        assert torch.equal(gradient, torch.full_like(initial, 3))


def test_a_new_cell_starts_from_zero() -> None:
    for maps in ConvLSTM(2, 3, (2, 2)).initial_state(batch_size=1):
        assert torch.equal(maps, torch.zeros(1, 3, 2, 2))


def test_a_step_leaves_its_state_as_it_was(lstm: ConvLSTM, inputs: list[list[Tensor]]) -> None:
    state = lstm.initial_state(batch_size=2)
    copies = [maps.clone() for maps in state]

    first, second = (lstm(inputs[0], state, lstm.cell.fused()) for _ in range(2))

    assert all(torch.equal(maps, copy) for maps, copy in zip(state, copies, strict=True))
    assert torch.equal(first.hidden, second.hidden)

"""The perceptual loss of a few frames at a time is that of all at once, its gradient too."""

import pytest
import torch
from torch import Tensor

from tests.training.test_objective import ToyPerceptualNetwork
from training import losses, perceptual_loss
from training.perceptual_loss import PerceptualLoss

BATCH, FRAMES, HEIGHT, WIDTH = 2, 5, 16, 32
LEVEL_WEIGHTS = [1.0, 0.5, 0.25, 2.0, 4.0]


def draw(channels: int) -> Tensor:
    return torch.rand(BATCH, FRAMES, channels, HEIGHT, WIDTH, dtype=torch.float64)


@pytest.fixture(name="inputs", params=["plain", "motion"])
def _inputs(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor, Tensor | None]:
    torch.manual_seed(0)
    return draw(3), draw(3).requires_grad_(), draw(1) if request.param == "motion" else None


@pytest.fixture(params=[1, 2, FRAMES], ids=lambda count: f"{count} at a time")
def _at_a_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = request.param * BATCH * HEIGHT * WIDTH
    monkeypatch.setattr(perceptual_loss, "PIXELS_AT_A_TIME", pixels)


def at_once(truth: Tensor, frames: Tensor, motion: Tensor | None) -> Tensor:
    """The five levels, by automatic differentiation of everything."""
    network = ToyPerceptualNetwork()
    true_features, features = network(truth.flatten(0, 1)), network(frames.flatten(0, 1))
    return torch.stack(losses.perceptual_level_losses(true_features, features, (BATCH, FRAMES), motion))


@pytest.mark.usefixtures("_at_a_time")
def test_value_and_gradient(inputs: tuple[Tensor, Tensor, Tensor | None]) -> None:
    truth, frames, motion = inputs
    levels = at_once(truth, frames, motion)
    expected = (levels * levels.new_tensor(LEVEL_WEIGHTS)).sum()
    (expected_gradient,) = torch.autograd.grad(3 * expected, frames)

    distance = PerceptualLoss(ToyPerceptualNetwork(), False)(truth, frames, motion, LEVEL_WEIGHTS)
    (gradient,) = torch.autograd.grad(3 * distance.weighted, frames)
    torch.testing.assert_close(distance.weighted, expected)
    torch.testing.assert_close(distance.plain, levels.detach().sum())
    torch.testing.assert_close(gradient, expected_gradient)
    assert not distance.plain.requires_grad


@pytest.mark.usefixtures("_at_a_time")
def test_without_gradients_the_value_is_the_same(inputs: tuple[Tensor, Tensor, Tensor | None]) -> None:
    loss = PerceptualLoss(ToyPerceptualNetwork(), False)
    with torch.no_grad():
        distance = loss(*inputs, LEVEL_WEIGHTS)
    torch.testing.assert_close(distance.weighted, loss(*inputs, LEVEL_WEIGHTS).weighted.detach())
    assert not distance.weighted.requires_grad


def test_few_frames_pass_the_network_at_a_time_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual_loss, "PIXELS_AT_A_TIME", 2 * BATCH * HEIGHT * WIDTH)
    network = ToyPerceptualNetwork()
    passed: list[tuple[int, bool]] = []
    network.register_forward_hook(lambda _, inputs, __: passed.append((len(inputs[0]), torch.is_grad_enabled())))
    frames = draw(3).requires_grad_()
    PerceptualLoss(network, False)(draw(3), frames, None, LEVEL_WEIGHTS).weighted.backward()
    true_and_made = [False, True]
    counts = (2 * BATCH, 2 * BATCH, BATCH)
    assert passed == [(count, with_gradient) for count in counts for with_gradient in true_and_made]

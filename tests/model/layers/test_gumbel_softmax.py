import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model.layers.gumbel_softmax import gumbel_softmax
from model.noise import Noise

PROBABILITIES = torch.tensor([0.1, 0.2, 0.7])
NUM_SAMPLES = 40_000


def draw(temperature: float, hard: bool = False, log_probabilities: Tensor | None = None) -> Tensor:
    """Many samples (N, 3), always with the same noise."""
    if log_probabilities is None:
        log_probabilities = PROBABILITIES.log()
    generator = torch.Generator().manual_seed(0)
    return gumbel_softmax(log_probabilities.expand(NUM_SAMPLES, 3), temperature, hard, Noise(generator))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 5.0])
@pytest.mark.parametrize("hard", [False, True])
def test_the_largest_weight_is_distributed_as_the_probabilities(temperature: float, hard: bool) -> None:
    samples = draw(temperature, hard)

    frequencies = functional.one_hot(samples.argmax(dim=-1)).float().mean(dim=0)
    standard_error = (PROBABILITIES * (1 - PROBABILITIES) / NUM_SAMPLES).sqrt()
    assert ((frequencies - PROBABILITIES).abs() < 4 * standard_error).all()


def test_samples_are_weights() -> None:
    samples = draw(temperature=0.5)

    assert (samples >= 0).all()
    torch.testing.assert_close(samples.sum(dim=-1), torch.ones(NUM_SAMPLES))


def test_temperature_divides_the_perturbed_log_probabilities() -> None:
    log_ratio_at_1 = draw(1.0)[:, 0].log() - draw(1.0)[:, 2].log()
    log_ratio_at_2 = draw(2.0)[:, 0].log() - draw(2.0)[:, 2].log()

    torch.testing.assert_close(log_ratio_at_1, 2 * log_ratio_at_2, rtol=1e-3, atol=1e-4)


def test_temperature_moves_samples_from_one_hot_to_uniform() -> None:
    assert draw(0.01).amax(dim=-1).median() > 0.999
    torch.testing.assert_close(draw(1e4), torch.full((NUM_SAMPLES, 3), 1 / 3), rtol=0, atol=1e-2)


def test_the_noise_is_gumbel() -> None:
    """The difference of two Gumbel variables is logistic: mean 0, variance pi^2 / 3."""
    samples = draw(1.0, log_probabilities=torch.zeros(3))
    difference = samples[:, 0].log() - samples[:, 1].log()

    assert abs(float(difference.mean())) < 4 * math.pi / math.sqrt(3 * NUM_SAMPLES)
    assert float(difference.var()) == pytest.approx(math.pi**2 / 3, rel=0.05)


def test_hard_samples_are_one_hot_with_the_gradient_of_soft_ones() -> None:
    gradients = []
    for hard in (False, True):
        log_probabilities = PROBABILITIES.log().requires_grad_()
        samples = draw(0.7, hard, log_probabilities)
        if hard:
            torch.testing.assert_close(samples, functional.one_hot(samples.argmax(dim=-1)).float())
        gradients.append(torch.autograd.grad((samples * torch.tensor([1.0, 2.0, 4.0])).sum(), log_probabilities))

    assert gradients[0][0].abs().min() > 0
    torch.testing.assert_close(gradients[0], gradients[1])


def test_impossible_actions_are_never_drawn() -> None:
    samples = draw(0.4, log_probabilities=torch.tensor([0.0, -1e4, -math.inf]))

    assert torch.equal(samples, torch.tensor([1.0, 0.0, 0.0]).expand(NUM_SAMPLES, 3))


def test_a_generator_repeats_samples_and_spares_the_global_one() -> None:
    state = torch.get_rng_state()

    assert torch.equal(draw(0.5), draw(0.5))
    assert torch.equal(torch.get_rng_state(), state)

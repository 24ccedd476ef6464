import pytest
import torch

from model.caddy import Caddy
from model.layers.gumbel_softmax import gumbel_softmax
from model.noise import Noise, NoNoise, SequenceNoise
from tests.configurations import small_configuration


def noise(rank: int = 0, num_ranks: int = 1) -> Noise:
    return Noise(torch.Generator().manual_seed(1), rank, num_ranks)


@pytest.mark.parametrize("num_ranks", [2, 3])
@pytest.mark.parametrize("draw", [Noise.normal_like, Noise.exponential_like])
def test_ranks_draw_their_shares_of_what_one_process_draws(draw, num_ranks: int) -> None:  # type: ignore[no-untyped-def]
    whole = draw(noise(), torch.empty(6, 3, 2))
    shares = [draw(noise(rank, num_ranks), torch.empty(6 // num_ranks, 3, 2)) for rank in range(num_ranks)]
    assert torch.equal(torch.cat(shares), whole)


def test_ranks_make_the_same_choices() -> None:
    sources = [noise(rank, 2) for rank in range(2)]
    first, second = ([source.choice(5) for _ in range(20)] for source in sources)
    assert first == second
    assert set(first) == set(range(5))


def test_a_single_choice_costs_no_randomness() -> None:
    source = noise()
    source.choice(1)
    assert torch.equal(source.normal_like(torch.empty(4)), noise().normal_like(torch.empty(4)))


@pytest.mark.parametrize("draw", [Noise.normal_like, Noise.exponential_like])
def test_a_sequence_has_noise_of_its_own(draw) -> None:  # type: ignore[no-untyped-def]
    name = draw.__name__
    seeds = [(0, 1), (0, 2), (7, 1)]
    together = SequenceNoise(seeds)
    first, second = (getattr(together, name)(torch.empty(3, 4, 2)) for _ in range(2))
    assert len(torch.cat([first, second]).unique()) == 2 * first.numel()
    assert first.dtype == torch.float32
    for number, seed in enumerate(seeds):
        alone = getattr(SequenceNoise([seed]), name)
        assert torch.equal(alone(torch.empty(1, 4, 2))[0], first[number])
        assert torch.equal(alone(torch.empty(1, 4, 2))[0], second[number])
    assert together.choice(3) == 0


def test_without_noise_samples_are_means() -> None:
    model = Caddy(small_configuration("model.action_network.ensamble_size=2")).eval()
    inferred = model.infer_actions(torch.rand(2, 3, 3, 16, 32) * 2 - 1, NoNoise())
    assert torch.equal(inferred.sampled_directions, inferred.directions.mean)
    assert torch.equal(inferred.sampled_action_states, inferred.action_states.mean)
    weights = gumbel_softmax(inferred.log_probabilities, 1.0, hard=False, noise=NoNoise())
    assert torch.allclose(weights, inferred.probabilities)

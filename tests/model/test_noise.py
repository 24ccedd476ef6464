import pytest
import torch

from model.noise import Noise


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

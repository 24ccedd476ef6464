import pytest
import torch
from torch import Tensor, nn

from model.layers.step_batch_norm import StepBatchNorm2d


def sequence(num_steps: int) -> list[Tensor]:
    """Maps whose mean and spread differ from step to step."""
    generator = torch.Generator().manual_seed(0)
    return [(step + 1) * torch.randn(4, 3, 2, 2, generator=generator) + 5 * step for step in range(num_steps)]


def follow(norm: nn.Module, steps: list[Tensor]) -> list[Tensor]:
    return [norm(maps, step) for step, maps in enumerate(steps)]


def test_without_first_steps_it_is_batch_normalisation() -> None:
    norm, reference = StepBatchNorm2d(3), nn.BatchNorm2d(3)
    steps = sequence(4)

    for actual, maps in zip(follow(norm, steps), steps, strict=True):
        assert torch.equal(actual, reference(maps))
    assert list(norm.state_dict()) == list(reference.state_dict())
    assert torch.equal(norm.state_dict()["running_mean"], reference.state_dict()["running_mean"])
    assert torch.equal(norm.eval()(steps[0], 2), reference.eval()(steps[0]))


def test_training_normalises_each_step_by_its_own_batch() -> None:
    for maps in follow(StepBatchNorm2d(3, num_first_steps=2), sequence(4)):
        torch.testing.assert_close(maps.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(maps.var(dim=(0, 2, 3), unbiased=False), torch.ones(3), atol=1e-3, rtol=0)


@pytest.mark.parametrize("step", range(4))
def test_first_steps_remember_statistics_of_their_own(step: int) -> None:
    norm = StepBatchNorm2d(3, num_first_steps=2)
    steps = sequence(4)
    for _ in range(100):
        follow(norm, steps)
    norm.eval()

    mean = norm(steps[step], step).mean()

    if step < 2:
        assert abs(mean) < 1e-2
    else:  # steps 2 and 3 share theirs
        assert abs(mean) > 0.1

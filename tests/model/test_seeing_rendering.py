"""The renderer that keeps or paints each pixel of the frame it sees."""

import math

import pytest
import torch
from torch import Tensor

from model.build import build_model
from model.caddy import Caddy
from model.rendering import Frames
from model.seeing_rendering import DARKEST, STRONGEST, SeeingRenderer, foretold
from tests.configurations import SEEING, small_configuration
from training.losses import cross_entropy
from utils.command import UserError

BATCH, HIDDEN, HEIGHT, WIDTH = 2, 8, 16, 32
STACKING = pytest.mark.parametrize("stacking", [2, 3])


def renderer(stacking: int = 2, strength: float = 1.0) -> SeeingRenderer:
    """A renderer as it is made, but for the weights of its head, which are multiplied."""
    torch.manual_seed(0)
    made = SeeingRenderer(HIDDEN, stacking, width=8, reach=3)
    with torch.no_grad():
        made.head.weight.mul_(strength)
    return made


def bias(seeing: SeeingRenderer) -> Tensor:
    """Of the head: of three painted values and of keeping."""
    assert seeing.head.bias is not None
    return seeing.head.bias


def inputs(stacking: int = 2) -> tuple[Tensor, Tensor]:
    """Hidden states and observations of noise."""
    generator = torch.Generator().manual_seed(1)
    hidden_states = torch.rand(BATCH, HIDDEN, HEIGHT // 8, WIDTH // 8, generator=generator) * 2 - 1
    return hidden_states, torch.rand(BATCH, 3 * stacking, HEIGHT, WIDTH, generator=generator) * 2 - 1


def probabilities(frames: Frames) -> tuple[Tensor, Tensor]:
    """What the log-probabilities say that a pixel is, and is not."""
    assert frames.log_probability is not None
    assert frames.log_complement is not None
    return frames.log_probability.exp(), frames.log_complement.exp()


@STACKING
@torch.no_grad()
def test_play_shows_the_frame_that_training_sees(stacking: int) -> None:
    seeing = renderer(stacking, strength=10)
    frames = seeing(*inputs(stacking))
    assert torch.equal(seeing.full_frame(*inputs(stacking)), frames.full)
    assert frames.full.shape == (BATCH, 3, HEIGHT, WIDTH)
    assert frames.full.abs().max() <= 1
    assert [name for name, _ in frames.resolutions()] == ["full"]


@torch.no_grad()
def test_log_probabilities_are_those_of_the_frame() -> None:
    frames = renderer(strength=10)(*inputs())
    probability, complement = probabilities(frames)
    torch.testing.assert_close(probability + complement, torch.ones_like(probability))
    assert (frames.full - inputs()[1][:, :3]).abs().max() > 0.1  # much is painted
    torch.testing.assert_close(probability, (frames.full + 1) / 2, atol=DARKEST + 1e-6, rtol=0)


@torch.no_grad()
def test_a_new_renderer_nearly_keeps_the_frame() -> None:
    hidden_states, observations = inputs()
    difference = (renderer().full_frame(hidden_states, observations) - observations[:, :3]).abs()
    assert 0 < difference.mean() < 0.05
    assert difference.max() < 0.3


@pytest.mark.parametrize("value", [-1.0, 0.25, 1.0])
@torch.no_grad()
def test_what_is_surely_kept_stays_exactly_as_it_is(value: float) -> None:
    seeing = renderer()
    bias(seeing)[3] = 100
    hidden_states, observations = inputs()
    observations[:, :3] = value
    assert torch.equal(seeing.full_frame(hidden_states, observations), observations[:, :3])


@torch.no_grad()
def test_what_is_surely_painted_reaches_black_and_white() -> None:
    seeing = renderer()
    bias(seeing).copy_(torch.tensor([-20.0, 0, 20, -100]))
    seeing.head.weight.zero_()
    frame = seeing.full_frame(*inputs())
    assert frame[0, :, 0, 0].tolist() == [-1, 0, 1]


@pytest.mark.parametrize(("keeping", "expected"), [(4.0, 0.8), (7.0, 0.25), (10.0, 0.02)])
def test_a_bright_pixel_that_is_missing_has_a_gradient_where_black_was_surely_kept(
    keeping: float, expected: float
) -> None:
    """The gradient falls only where the doubt about keeping does, below `DARKEST`."""
    seeing = renderer()
    with torch.no_grad():
        bias(seeing)[3] = keeping
        seeing.head.weight.zero_()
    hidden_states, _ = inputs()
    frames = seeing(hidden_states, -torch.ones(BATCH, 6, HEIGHT, WIDTH))
    bright = torch.ones(BATCH, 1, 3, HEIGHT, WIDTH)
    assert frames.log_probability is not None
    assert frames.log_complement is not None
    cross_entropy(bright, frames.log_probability[:, None], frames.log_complement[:, None]).backward()
    gradient = bias(seeing).grad
    assert gradient is not None
    doubt = torch.sigmoid(torch.tensor(-keeping)).item() / 2
    assert gradient[3].item() == pytest.approx(doubt / (doubt + DARKEST), rel=0.05)
    assert gradient[3] > expected


def test_all_weights_learn() -> None:
    seeing = renderer()
    frames = seeing(*inputs())
    assert frames.log_probability is not None
    frames.log_probability.mean().backward()
    for name, weight in seeing.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name


@torch.no_grad()
def test_training_and_play_compute_the_same_and_images_do_not_see_each_other() -> None:
    seeing = renderer(strength=10)
    hidden_states, observations = inputs()
    trained = seeing.train()(hidden_states, observations).full
    played = seeing.eval()(hidden_states, observations).full
    assert torch.equal(trained, played)
    assert not list(seeing.buffers())
    alone = seeing.full_frame(hidden_states[1:], observations[1:])
    torch.testing.assert_close(alone, trained[1:], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("reach", "is_seen"), [(1, False), (2, True), (3, True)])
def test_what_moved_is_foretold_at_the_same_velocity_within_reach(reach: int, is_seen: bool) -> None:
    now, before = (-torch.ones(1, 3, HEIGHT, WIDTH) for _ in range(2))
    before[0, 0, 5, 8] = 0  # half as bright in one channel
    now[0, 0, 6, 10] = 0
    expected = torch.zeros(1, 1, HEIGHT, WIDTH)
    expected[0, 0, 7, 12] = float(is_seen)
    assert torch.equal(foretold(torch.cat([now, before], dim=1), reach), expected)


def test_nothing_is_foretold_where_nothing_moves_and_never_more_than_the_strongest() -> None:
    _, observations = inputs()
    still = torch.cat([observations[:, :3], observations[:, :3]], dim=1).requires_grad_()
    assert not foretold(still, reach=2).any()
    assert not foretold(still, reach=2).requires_grad
    assert foretold(observations, reach=4).max() == STRONGEST


@pytest.mark.parametrize("multiplier", [0.01, 0.25, 0.7, 1.0, 1.6])
@torch.no_grad()
def test_any_width_multiplier_gives_a_working_renderer(multiplier: float) -> None:
    model = build_model(small_configuration(*SEEING, f"model.width_multiplier={multiplier}"))
    assert isinstance(model, Caddy)
    assert model.stack_shape == (2, HEIGHT, WIDTH, 3)
    seeing = model.rendering_network
    assert isinstance(seeing, SeeingRenderer)
    assert math.isclose(seeing.head.in_channels, 32 * multiplier, abs_tol=2)
    assert seeing.full_frame(*inputs()).isfinite().all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("training.batching.observation_stacking=1", "evaluation.batching.observation_stacking=1"),
            r"^training\.batching\.observation_stacking: .*; set it to 2, and evaluation\.batching\.observation_stack",
        ),
        (("training.pretraining_frames=encoded",), r"^training\.pretraining_frames: .*; set it to predicted$"),
    ],
)
def test_what_it_cannot_see_or_must_not_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_model(small_configuration(*SEEING, *overrides))


def test_without_pretraining_it_does_not_matter_what_that_paints() -> None:
    build_model(small_configuration(*SEEING, "training.pretraining_frames=encoded", "training.pretraining_steps=0"))

"""Frames, and renderers that see the observation before a frame."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model.caddy import Caddy
from model.rendering import Frames, Renderer
from tests.configurations import small_configuration
from utils.configuration import Configuration

BATCH, TIME, HEIGHT, WIDTH = 2, 5, 16, 32
STACKING = ("training.batching.observation_stacking=2", "evaluation.batching.observation_stacking=2")


class Fading(Renderer):
    """Shows half of the newest frame seen, at one resolution, with log-probabilities."""

    def forward(self, hidden_states: Tensor, observations: Tensor) -> Frames:
        assert len(hidden_states) == len(observations)
        frames = observations[:, :3] / 2
        return Frames(frames, log_probability=((frames + 1) / 2).log(), log_complement=((1 - frames) / 2).log())


def fading(_: Configuration) -> Fading:
    return Fading()


def observations_of(frames: Tensor) -> Tensor:
    """Stacks of two (B, T, 6, H, W)."""
    return torch.cat([frames, torch.cat([frames[:, :1], frames[:, :-1]], dim=1)], dim=2)


@torch.no_grad()
@pytest.mark.parametrize("num_true", [1, 3, TIME - 1])
def test_a_frame_follows_from_the_observation_before_it(num_true: int) -> None:
    model = Caddy(small_configuration(*STACKING), fading)
    true_frames = torch.rand(BATCH, TIME, 3, HEIGHT, WIDTH) * 2 - 1

    frames = model(observations_of(true_frames), num_true).frames

    assert torch.equal(frames.full[:, :num_true], true_frames[:, :num_true] / 2)
    for t in range(num_true, TIME - 1):
        assert torch.equal(frames.full[:, t], frames.full[:, t - 1] / 2)
    assert [name for name, _ in frames.resolutions()] == ["full"]
    logits = frames.log_probability - frames.log_complement
    assert torch.allclose(2 * torch.sigmoid(logits) - 1, frames.full, atol=1e-5)


@torch.no_grad()
def test_play_hands_over_the_observation() -> None:
    model = Caddy(small_configuration(), fading)
    observation = torch.rand(BATCH, 3, HEIGHT, WIDTH) * 2 - 1
    action = functional.one_hot(torch.zeros(BATCH, dtype=torch.int64), 3).float()
    imagined = model.step(model.initial_state(BATCH), observation, action, torch.zeros(BATCH, 2), model.prepare())
    assert torch.equal(imagined.frame, observation / 2)


@torch.no_grad()
def test_the_pretraining_pass_hands_over_the_observation_that_is_encoded() -> None:
    observations = torch.rand(BATCH, TIME, 3, HEIGHT, WIDTH) * 2 - 1
    rollout = Caddy(small_configuration(), fading)(observations, 1, pretraining=True)
    assert torch.equal(rollout.frames.full, observations / 2)


def test_frames_keep_what_is_there() -> None:
    full, quarter = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 2, 2)
    frames = Frames(full, quarter=quarter)
    assert [name for name, _ in frames.resolutions()] == ["full", "quarter"]
    assert torch.equal(frames.map(torch.neg).full, -full)
    first, second = frames.map(lambda tensor: tensor[:2]), frames.map(lambda tensor: tensor[2:])
    assert first.quarter is not None
    assert torch.equal(first.quarter, quarter[:2])
    assert first.half is second.half is second.log_probability is None
    again = Frames.joined([first, second], lambda parts: torch.cat(list(parts)))
    assert again.quarter is not None
    assert torch.equal(again.full, full)
    assert torch.equal(again.quarter, quarter)

"""Play agrees with the published implementation, for its three configurations."""

import numpy as np
import pytest
import torch

from model.caddy import Caddy
from playing.simulator import Moment, Simulator
from tests.configurations import small_configuration
from tests.reference import NAMES, filled_caddy, load_arrays, relative_error
from utils.images import normalize

TOLERANCE = {"cpu": 1e-5, "cuda": 1e-3}


@pytest.mark.parametrize("name", NAMES)
def test_play_is_as_published(name: str, device: torch.device) -> None:
    arrays = load_arrays(f"{name}.play")
    observation = torch.from_numpy(arrays["observation"])[None].to(device)
    height, width = observation.shape[-2:]
    simulator = Simulator(filled_caddy(name, (height, width)).to(device))
    assert simulator.stack_shape == (observation.shape[1] // 3, height, width, 3)

    moment = Moment(observation, simulator.model.initial_state(1))
    frames = []
    for action in arrays["actions"]:
        moment = simulator.step(moment, np.array([int(action)]))
        frames.append(moment.observation[:, :3])

    assert relative_error(torch.cat(frames), arrays["frames"]) < TOLERANCE[device.type]


def test_a_stack_becomes_an_observation_newest_first() -> None:
    overrides = [f"{name}.batching.observation_stacking=2" for name in ("training", "evaluation")]
    simulator = Simulator(Caddy(small_configuration(*overrides)))
    stacks = np.random.default_rng(0).integers(0, 256, (3, *simulator.stack_shape), np.uint8)
    moment = simulator.start(stacks)
    assert moment.observation.shape == (3, 6, 16, 32)
    assert np.array_equal(moment.frames, stacks[:, 1])
    oldest = normalize(torch.from_numpy(stacks[:, 0])).permute(0, 3, 1, 2)
    assert torch.equal(moment.observation[:, 3:], oldest)


def test_variations_matter() -> None:
    torch.manual_seed(0)
    simulator = Simulator(Caddy(small_configuration()))
    moment = simulator.start(np.zeros((1, *simulator.stack_shape), np.uint8))
    zero, none, other = (
        simulator.step(moment, np.array([1]), variation).observation
        for variation in (np.zeros((1, 2)), None, np.ones((1, 2)))
    )
    assert torch.equal(zero, none)
    assert not torch.equal(zero, other)

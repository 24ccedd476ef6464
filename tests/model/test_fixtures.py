"""Agreement with the published implementation in evaluation mode, for its three configurations."""

import pytest
import torch
from torch import Tensor

from model.caddy import Caddy
from model.playable import Rollout, most_probable_actions
from tests.configurations import published_configuration
from tests.reference import NAMES, Arrays, filled_caddy, load_arrays, observations, read_manifest, relative_error

TOLERANCE = {"cpu": 1e-5, "cuda": 1e-3}
DIRECTIONS_TOLERANCE = {"cpu": 1e-4, "cuda": 1e-2}
"""Directions are differences of nearly equal means."""

CONFIGURATIONS = pytest.mark.parametrize("name", NAMES)


def build(name: str, frame_shape: tuple[int, ...], device: torch.device, *overrides: str) -> Caddy:
    return filled_caddy(name, (frame_shape[-2], frame_shape[-1]), *overrides).to(device).eval()


def compared(rollout: Rollout) -> dict[str, Tensor]:
    """What the fixtures hold of both passes, by its name there."""
    directions = rollout.inferred_actions.directions
    return {
        "reconstructed_observations": rollout.frames.full,
        "reconstructed_observations_r1": dict(rollout.frames.resolutions())["half"],
        "reconstructed_observations_r2": dict(rollout.frames.resolutions())["quarter"],
        "states": rollout.states,
        "attention": rollout.attention,
        "hidden_states": rollout.hidden_states,
        "action_directions_distribution": torch.stack([directions.mean, directions.variance], dim=2),
        "action_logits": rollout.inferred_actions.logits,
        "selected_actions": rollout.actions.argmax(dim=-1),
        "action_variations": rollout.variations,
        "reconstructed_action_logits": rollout.reconstructed_actions.logits,
    }


def check(results: dict[str, Tensor], arrays: Arrays, device: torch.device) -> None:
    inputs = {"observations_seed", "observations_shape", "ground_truth_observations"}
    assert results.keys() == arrays.keys() - inputs
    errors = {name: relative_error(result, arrays[name]) for name, result in results.items()}
    directions_error = errors.pop("action_directions_distribution")
    assert directions_error < DIRECTIONS_TOLERANCE[device.type]
    assert max(errors.values()) < TOLERANCE[device.type], errors


@CONFIGURATIONS
def test_parameters_are_the_published_ones(name: str) -> None:
    state = Caddy(published_configuration(name)).state_dict()
    entries = [(parameter, (str(tensor.dtype), tuple(tensor.shape))) for parameter, tensor in state.items()]

    assert entries == [
        (parameter, (f"torch.{dtype}", shape)) for parameter, (dtype, shape) in read_manifest(name).items()
    ]


@CONFIGURATIONS
@torch.no_grad()
def test_full_pass(name: str, device: torch.device) -> None:
    arrays = load_arrays(f"{name}.forward")
    inputs = observations(arrays).to(device)
    model = build(name, inputs.shape, device)

    rollout = model(
        inputs,
        int(arrays["ground_truth_observations"]),
        action_sampler=most_probable_actions,
        zero_variations=True,
    )

    check(compared(rollout), arrays, device)


@CONFIGURATIONS
@torch.no_grad()
def test_pretraining_pass(name: str, device: torch.device) -> None:
    arrays = load_arrays(f"{name}.pretraining")
    inputs = observations(arrays).to(device)
    model = build(name, inputs.shape, device, "model.action_network.use_gumbel=false")

    rollout = model(inputs, ground_truth_observations=1, pretraining=True)

    assert rollout.encoded_hidden_states is not None
    check(compared(rollout) | {"reconstructed_hidden_states": rollout.encoded_hidden_states}, arrays, device)


@CONFIGURATIONS
@torch.no_grad()
def test_play(name: str, device: torch.device) -> None:
    arrays = load_arrays(f"{name}.play")
    observation = torch.from_numpy(arrays["observation"]).unsqueeze(0).to(device)
    model = build(name, observation.shape, device)
    one_hot = torch.eye(model.centroid_estimator.estimated_centroids.shape[0], device=device)
    zero_variation = torch.zeros_like(model.centroid_estimator.estimated_centroids[:1])

    state = model.initial_state(batch_size=1)
    frames = []
    for action in arrays["actions"]:
        step = model.step(state, observation, one_hot[[int(action)]], zero_variation)
        state, observation = step.state, step.observation
        frames.append(step.frame)

    assert relative_error(torch.cat(frames), arrays["frames"]) < TOLERANCE[device.type]

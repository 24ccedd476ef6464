"""The state of a training run and its checkpoints, the authors' included."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.caddy import Caddy
from tests.configurations import AUTHORS_CONFIGURATIONS, FIXTURES, published_configuration
from tests.synthetic import square_configuration
from training.objective import Objective
from training.state import TrainingState
from utils.checkpoint import LATEST, CheckpointError, checkpoint_name, load_checkpoint, save_checkpoint
from utils.command import UserError
from utils.configuration import Configuration


def new_state(config: Configuration, seed: int = 0) -> TrainingState:
    torch.manual_seed(seed)
    return TrainingState(config, Caddy(config), Objective(config))


def update(state: TrainingState) -> None:
    """A step along a random gradient of every parameter, the layer of the pretraining phase aside."""
    trained = [
        parameter for name, parameter in state.model.named_parameters() if not name.startswith("state_to_hidden")
    ]
    state.update(torch.stack([(parameter * torch.randn_like(parameter)).sum() for parameter in trained]).sum())


def saved(state: TrainingState, folder: Path) -> dict[str, Any]:
    save_checkpoint(folder / LATEST, state.checkpoint())
    return load_checkpoint(folder / LATEST)


def assert_equal(first: Any, second: Any) -> None:
    """Compare nested containers bit for bit, memory layout included."""
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_equal(first[key], second[key])
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_equal(one, other)
    elif isinstance(first, Tensor):
        assert first.dtype == second.dtype
        assert first.stride() == second.stride()
        assert torch.equal(first, second)
    else:
        assert first == second


@pytest.fixture
def config(tmp_path: Path) -> Configuration:
    return square_configuration(tmp_path, "training.lr_schedule=[3, 5]", "training.lr_gamma=0.3")


def test_a_resumed_state_is_the_same_and_goes_on_alike(config: Configuration, tmp_path: Path) -> None:
    state = new_state(config)
    for _ in range(4):
        update(state)
    checkpoint = saved(state, tmp_path)
    resumed = new_state(config, seed=1)
    assert resumed.resume(tmp_path) is not None
    assert_equal(resumed.checkpoint(), state.checkpoint())
    for _ in range(3):
        update(resumed)
    torch.set_rng_state(checkpoint["random_state"]["cpu"])
    for _ in range(3):
        update(state)
    assert_equal(resumed.checkpoint(), state.checkpoint())
    assert state.learning_rate == pytest.approx(config.training.learning_rate * 0.3**2)


def test_an_empty_folder_is_a_new_beginning(config: Configuration, tmp_path: Path) -> None:
    state = new_state(config)
    assert state.resume(tmp_path / "nowhere") is None
    assert state.step == 0


def test_the_configuration_decides_learning_rate_and_weight_decay(config: Configuration, tmp_path: Path) -> None:
    state = new_state(config)
    for _ in range(4):
        update(state)
    saved(state, tmp_path)
    changed = square_configuration(
        tmp_path,
        "training.learning_rate=1e-3",
        "training.weight_decay=0.5",
        "training.lr_schedule=[1, 2, 4, 6]",
        "training.lr_gamma=0.1",
    )
    resumed = new_state(changed)
    resumed.resume(tmp_path)
    assert resumed.learning_rate == pytest.approx(1e-6)
    assert resumed.optimizer.param_groups[0]["weight_decay"] == 0.5
    update(resumed)
    update(resumed)
    assert resumed.learning_rate == pytest.approx(1e-7)


def test_bare_weights_are_a_start(config: Configuration, tmp_path: Path) -> None:
    trained = new_state(config, seed=1)
    torch.save(trained.model.state_dict(), tmp_path / LATEST)
    state = new_state(config)
    assert state.resume(tmp_path) is not None
    assert state.step == 0
    assert_equal(state.model.state_dict(), trained.model.state_dict())
    update(state)


# The authors' checkpoints


def authors_checkpoint(config: Configuration, lists_centroids: bool) -> dict[str, Any]:
    """What the authors' code saves with torch 1.4 after 70 steps: contiguous tensors, Adam's state by arbitrary ids."""
    model = new_state(config, seed=3).model
    parameters = {name: parameter.detach().contiguous() for name, parameter in model.named_parameters()}
    ids = {name: 140_000_000_000 + 72 * (position * 7919 % 1000) for position, name in enumerate(parameters)}
    moments = {
        ids[name]: {"step": 70, "exp_avg": torch.randn(tensor.shape), "exp_avg_sq": torch.rand(tensor.shape)}
        for name, tensor in parameters.items()
        if not name.startswith("state_to_hidden")
    }
    group = {
        "lr": 4e-4,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 1e-6,
        "amsgrad": False,
        "initial_lr": 4e-4,
        "params": [*ids.values(), 1] if lists_centroids else list(ids.values()),
    }
    scheduler = {
        "milestones": Counter([300_000]),
        "gamma": 0.3333,
        "base_lrs": [4e-4],
        "last_epoch": 70,
        "_step_count": 71,
        "_get_lr_called_within_step": False,
        "_last_lr": [4e-4],
    }
    return {
        "model": {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        "optimizer": {"state": moments, "param_groups": [group]},
        "lr_scheduler": scheduler,
        "step": 70,
        "mi_estimator": {"matrix_estimator.estimated_matrix": torch.eye(3) / 3},
    }


@pytest.mark.parametrize("lists_centroids", [False, True])
def test_the_authors_checkpoints_resume_with_their_optimiser(tmp_path: Path, lists_centroids: bool) -> None:
    config = square_configuration(tmp_path)
    checkpoint = authors_checkpoint(config, lists_centroids)
    torch.save(checkpoint, tmp_path / LATEST, _use_new_zipfile_serialization=False)
    state = new_state(config)
    state.resume(tmp_path)
    assert state.step == 70
    assert state.learning_rate == config.training.learning_rate
    estimator = state.objective.mi_estimator
    assert estimator is not None
    assert torch.equal(estimator.estimated_matrix, torch.eye(3) / 3)

    expected = {name: torch.nn.Parameter(checkpoint["model"][name]) for name, _ in state.model.named_parameters()}
    plain = torch.optim.Adam(expected.values(), lr=config.training.learning_rate, weight_decay=1e-6, foreach=False)
    authors_optimizer = checkpoint["optimizer"]
    (group,) = authors_optimizer["param_groups"]
    group = {**group, "params": group["params"][: len(expected)]}
    plain.load_state_dict({**authors_optimizer, "param_groups": [group]})
    for name, parameter in state.model.named_parameters():
        parameter.grad = torch.randn_like(parameter)
        expected[name].grad = parameter.grad.contiguous()
    plain.step()
    state.optimizer.step()
    for name, parameter in state.model.named_parameters():
        torch.testing.assert_close(parameter, expected[name], rtol=0, atol=1e-7)
    assert_equal(saved(state, tmp_path)["step"], 70)


@pytest.mark.parametrize("name", AUTHORS_CONFIGURATIONS)
def test_our_parameters_are_in_the_authors_order(name: str) -> None:
    """Adam's state knows parameters by their place."""
    manifest = json.loads((FIXTURES / "reference" / f"{name}.manifest.json").read_text())
    with torch.device("meta"):
        model = Caddy(published_configuration(name))
    assert list(model.state_dict()) == list(manifest)


# Refusals


def test_a_missing_latest_checkpoint_beside_others_is_not_a_new_beginning(
    config: Configuration, tmp_path: Path
) -> None:
    state = new_state(config)
    other = tmp_path / checkpoint_name(3000)
    other.write_bytes(b"torn")
    with pytest.raises(CheckpointError, match=f"{LATEST}: cannot be read .*; no intact checkpoint lies beside it"):
        state.resume(tmp_path)
    save_checkpoint(other, state.checkpoint())
    with pytest.raises(CheckpointError, match=f"the newest intact checkpoint is {re.escape(str(other))}: copy it"):
        state.resume(tmp_path)


def test_a_checkpoint_of_another_model_is_refused(config: Configuration, tmp_path: Path) -> None:
    other = square_configuration(tmp_path, "data.actions_count=7", "model.dynamics_network.hidden_state_size=16")
    saved(new_state(other), tmp_path)
    with pytest.raises(CheckpointError, match="made with another configuration"):
        new_state(config).resume(tmp_path)


def changed_checkpoint(config: Configuration, change: str) -> dict[str, Any]:
    state = new_state(config)
    update(state)
    checkpoint = state.checkpoint()
    optimizer = checkpoint["optimizer"]
    keys = optimizer["param_groups"][0]["params"]
    match change:
        case "no step":
            del checkpoint["step"]
        case "no learning state":
            checkpoint["optimizer"] = {"state": {}}
        case "fewer parameters":
            keys.pop()
        case "more parameters":
            keys += [1000, 1001]
        case "two groups":
            optimizer["param_groups"] *= 2
        case "another order":
            keys.reverse()
        case "another optimiser":
            for moments in optimizer["state"].values():
                moments["momentum_buffer"] = moments.pop("exp_avg")
        case "a list for a dict":
            checkpoint["optimizer"] = [1, 2]
        case "another matrix":
            checkpoint["mi_estimator"] = {"matrix_estimator.estimated_matrix": torch.zeros(7, 7)}
        case "no random state":
            checkpoint["random_state"] = {"cpu": torch.zeros(3)}
    return checkpoint


@pytest.mark.parametrize(
    "change",
    [
        "no step",
        "no learning state",
        "fewer parameters",
        "more parameters",
        "two groups",
        "another order",
        "another optimiser",
        "a list for a dict",
        "another matrix",
        "no random state",
    ],
)
def test_an_optimiser_of_another_model_is_refused(config: Configuration, tmp_path: Path, change: str) -> None:
    save_checkpoint(tmp_path / LATEST, changed_checkpoint(config, change))
    with pytest.raises(CheckpointError, match=f"{LATEST}: its optimiser state is not of this model") as refusal:
        new_state(config).resume(tmp_path)
    assert "\n" not in str(refusal.value)


def test_weights_that_are_not_finite_are_found(config: Configuration) -> None:
    state = new_state(config)
    state.require_finite_weights()
    with torch.no_grad():
        state.model.get_parameter("action_network.0.mean_fc.bias")[0] = torch.inf
    with pytest.raises(UserError, match=r"1 weights are not finite after step 0 \(action_network.0.mean_fc.bias"):
        state.require_finite_weights()

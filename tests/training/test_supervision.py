"""A few labelled steps name the actions."""

from pathlib import Path
from typing import TypeVar

import pytest
import torch
from torch import Tensor

from dataset.batching import Batch, evaluation_keys
from dataset.labels import write_labels
from dataset.open import find_videos, open_split
from dataset.video import Video
from model.build import build_model
from model.noise import NoNoise
from playing.hints import ACTION_NAMES
from tests.synthetic import square_configuration, write_square_videos
from training import losses, run
from utils.checkpoint import load_checkpoint, load_model_weights, save_checkpoint
from utils.command import UserError
from utils.configuration import Configuration

Action = TypeVar("Action", int, Tensor)

SHARE = 40
"""One in so many steps is labelled: 2.5 %."""


def test_the_surprise_is_that_of_labelled_steps() -> None:
    probabilities = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], [[0.2, 0.2, 0.6], [0.3, 0.3, 0.4]]])
    labels = torch.tensor([[1, -1], [2, -1]])
    expected = -(torch.tensor(0.25).log() + torch.tensor(0.6).log()) / 2
    torch.testing.assert_close(losses.supervision_loss(probabilities.log(), labels), expected)


def test_steps_without_labels_ask_for_nothing() -> None:
    logits = torch.randn(2, 3, 3, requires_grad=True)
    loss = losses.supervision_loss(logits.log_softmax(dim=-1), torch.full((2, 3), -1))
    assert loss.item() == 0
    loss.backward()
    assert isinstance(logits.grad, Tensor)
    assert not logits.grad.any()


def agreement(config: Configuration) -> float:
    """The share of held-out steps whose inferred action is what the true one is called by `number_of`."""
    model = build_model(config)
    path = config.logging.save_directory / "latest.pth.tar"
    load_model_weights(model, load_checkpoint(path)["model"], path)
    data = open_split(config, "val", config.evaluation.batching)
    batch = Batch.of(data[evaluation_keys(data, config.evaluation.batching.observations_count)])
    with torch.no_grad():
        inferred = model.eval().infer_actions(batch.observations(), NoNoise())
    return float((inferred.most_probable == number_of(batch.actions[:, :-1])).float().mean())


def number_of(action: Action) -> Action:
    """The label of a true action: another order than any that training prefers."""
    return (action + 1) % 3


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A folder with squares that move, of which one step in `SHARE` has a label."""
    write_square_videos(tmp_path / "data", {"train": 40, "val": 6}, length=40)
    for number, path in enumerate(find_videos(square_configuration(tmp_path).data, "train")):
        write_labels(path, {number % SHARE: number_of(Video(path).annotations.actions[number % SHARE])})
    return tmp_path


@pytest.mark.usefixtures("_without_plots")
def test_a_few_labelled_steps_name_the_actions(labelled: Path) -> None:
    config = square_configuration(
        labelled,
        "data.action_names=[right, left, stay]",
        "data.cache=memory",
        "training.max_steps=120",
        "training.pretraining_steps=0",
        "training.learning_rate=5e-3",
        "training.batching={batch_size: 6, observations_count: 5}",
        "model.action_network.initial_direction_variance=0.005",
        "model.action_network.fixed_variance=true",
        "model.batch_norm_momentum=0.02",
        "training.loss_weights.action_directions_motion_lambda=1",
        "training.loss_weights.action_supervision_lambda=1",
        "evaluation.eval_freq=1000",
    )
    assert run.train(config, "cpu") == 0
    assert agreement(config) > 0.9
    assert load_checkpoint(config.logging.save_directory / "latest.pth.tar")[ACTION_NAMES] == ["right", "left", "stay"]


def test_labels_are_needed_where_they_have_a_weight(square: Path) -> None:
    for path in (square / "data/train").iterdir():
        (path / "annotations.json").unlink()
    config = square_configuration(square, "training.loss_weights.action_supervision_lambda=1")
    with pytest.raises(UserError, match=r"no frame of the training videos of .* has a label"):
        run.train(config, "cpu")


def test_a_label_beyond_the_actions(square: Path) -> None:
    for path in (square / "data/train").iterdir():
        write_labels(path, dict.fromkeys(range(12), 7))
    config = square_configuration(square, "training.loss_weights.action_supervision_lambda=1")
    with pytest.raises(UserError, match=r"the label 7, but the actions are 0 to 2: raise data\.actions_count"):
        run.train(config, "cpu")


@pytest.mark.usefixtures("_without_plots")
def test_names_that_were_given_to_a_checkpoint_stay_when_training_goes_on(square: Path) -> None:
    config = square_configuration(square, "training.max_steps=2", "training.pretraining_steps=0")
    run.train(config, "cpu")
    path = config.logging.save_directory / "latest.pth.tar"
    save_checkpoint(path, {**load_checkpoint(path), ACTION_NAMES: ["a", "b", "c"]})
    run.train(square_configuration(square, "training.max_steps=3", "training.pretraining_steps=0"), "cpu")
    assert load_checkpoint(path)[ACTION_NAMES] == ["a", "b", "c"]

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dataset.annotations import Annotations
from dataset.open import open_split
from dataset.video import Video, write_video
from model.caddy import Caddy
from model.noise import Noise
from model.perceptual import PerceptualNetwork
from model.playable import ActionSampler, Rollout
from tests.synthetic import SIDE, square_configuration
from training.validation import HELD_STEPS, NUM_PICTURED_SEQUENCES, EvaluationResult, Evaluator
from utils.configuration import Configuration

CPU = torch.device("cpu")


def evaluator(config: Configuration, network: PerceptualNetwork | None = None) -> Evaluator:
    return Evaluator(config, open_split(config, "val", config.evaluation.batching), CPU, network)


def new_model(config: Configuration) -> Caddy:
    torch.manual_seed(0)
    return Caddy(config)


@pytest.fixture
def evaluation(square: Path) -> EvaluationResult:
    config = square_configuration(square, "evaluation.batching.batch_size=6")
    return evaluator(config).evaluate(new_model(config))


def test_scalars(evaluation: EvaluationResult) -> None:
    scalars = evaluation.scalars
    for name in ("reconstruction", "states"):
        curve = [scalars[f"eval/{name}/{position}"] for position in (1, 2, 3)]
        assert scalars[f"eval/{name}"] == pytest.approx(np.mean(curve))
        assert f"eval/{name}/4" not in scalars
    usage = [scalars[f"eval/action_usage/{action}"] for action in (1, 2, 3)]
    assert sum(usage) == pytest.approx(1)
    assert scalars["eval/actions_used"] == sum(share > 0.01 for share in usage)
    assert 1 / 3 <= scalars["eval/most_frequent_action"] < 1
    assert 0 < scalars["eval/action_accuracy"] <= 1
    assert scalars["eval/movement_accuracy"] == 1
    assert 0 <= scalars["eval/action_effect"] <= 2
    assert "bound from true movement 1.000" in evaluation.summary()
    assert evaluation.actions_in_words.startswith("actions that are held move things: 1 ")


def test_images_are_enlarged_and_of_one_size_for_all_resolutions(evaluation: EvaluationResult) -> None:
    assert evaluation.images.keys() == {
        "reconstruction_full", "reconstruction_half", "reconstruction_quarter",
        "attention", "motion_weights", "held_actions", "actions", "action_usage", "losses",
    }  # fmt: skip
    side = 3 * SIDE + 2
    for name in ("full", "half", "quarter"):
        assert evaluation.images[f"reconstruction_{name}"].shape == (
            2 * NUM_PICTURED_SEQUENCES * side - 2,
            4 * side - 2,
            3,
        )
    for name in ("attention", "motion_weights"):
        assert evaluation.images[name].shape == (NUM_PICTURED_SEQUENCES * side - 2, 4 * side - 2, 3)
    assert evaluation.images["held_actions"].shape == (3 * side - 2, (HELD_STEPS + 1) * side - 2, 3)


def test_truth_is_above_reconstruction(square: Path) -> None:
    config = square_configuration(square)
    found = evaluator(config)
    picture = found.evaluate(new_model(config)).images["reconstruction_full"]
    batch = next(iter(found.loader))
    frames = batch.frames.permute(0, 1, 3, 4, 2).numpy().repeat(3, axis=2).repeat(3, axis=3)
    side = 3 * SIDE
    for sequence in range(2):
        for time in range(4):
            top, left = 2 * sequence * (side + 2), time * (side + 2)
            true = picture[top : top + side, left : left + side]
            made = picture[top + side + 2 : top + 2 * side + 2, left : left + side]
            assert (true == frames[sequence, time]).all()
            assert (made == frames[sequence, time]).all() == (time == 0)


@pytest.mark.usefixtures("_without_plots")
@pytest.mark.parametrize("is_training", [True, False])
def test_a_model_and_the_random_state_are_left_as_they_were(square: Path, is_training: bool) -> None:
    config = square_configuration(square, "model.action_network.ensamble_size=2")
    model = new_model(config).train(is_training)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state = torch.get_rng_state()
    found = evaluator(config)
    first, second = found.evaluate(model), found.evaluate(model)
    assert first.scalars == second.scalars
    assert all(module.training == is_training for module in model.modules())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.fixture
def rollouts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Rollout]]:
    """The observations and rollouts of the evaluations to come, those that only measure the actions' effects aside."""
    seen = []
    original = Evaluator._reconstruct

    def reconstruct(
        self: Evaluator, model: Caddy, observations: Tensor, sampler: ActionSampler, noise: Noise
    ) -> Rollout:
        rollout = original(self, model, observations, sampler, noise)
        seen.append((observations, rollout))
        return rollout

    monkeypatch.setattr(Evaluator, "_reconstruct", reconstruct)
    monkeypatch.setattr(Evaluator, "_hold_actions", lambda *given: given[2][:, :2, :3].expand(3, -1, -1, -1, -1, -1))
    return seen


@pytest.mark.usefixtures("_without_plots")
def test_losses_are_means_over_sequences_by_position(square: Path, rollouts: list[tuple[Tensor, Rollout]]) -> None:
    """The last batch is smaller than the others."""
    overrides = ("evaluation.batching.batch_size=4", "evaluation.max_evaluation_batches=100")
    config = square_configuration(square, *overrides)
    scalars = evaluator(config).evaluate(new_model(config)).scalars
    sizes = [len(observations) for observations, _ in rollouts]
    assert len(set(sizes)) == 2
    assert sum(sizes) == 2 * (12 - 4 + 1)
    errors = torch.cat([(observations[:, 1:] - rollout.frames.full).abs() for observations, rollout in rollouts])
    distances = torch.cat([(rollout.reconstructed_states - rollout.states).square() for _, rollout in rollouts])
    for position in range(3):
        assert scalars[f"eval/reconstruction/{position + 1}"] == pytest.approx(errors[:, position].mean().item())
        assert scalars[f"eval/states/{position + 1}"] == pytest.approx(distances[:, position + 1].mean().item())


@pytest.mark.usefixtures("_without_plots")
def test_the_most_probable_actions_drive_the_model_without_variations(
    square: Path, rollouts: list[tuple[Tensor, Rollout]]
) -> None:
    config = square_configuration(square)
    evaluator(config).evaluate(new_model(config))
    (_, rollout), *_ = rollouts
    assert (rollout.variations == 0).all()
    assert (rollout.actions.sum(dim=-1) == 1).all()
    assert torch.equal(rollout.actions.argmax(dim=-1), rollout.inferred_actions.logits.argmax(dim=-1))


def fixed_classifier(model: Caddy, action: int) -> None:
    """Let the action network choose one action whatever it sees."""
    with torch.no_grad():
        model.get_parameter("action_network.0.final_fc.weight").zero_()
        model.get_parameter("action_network.0.final_fc.bias").copy_(
            10 * torch.nn.functional.one_hot(torch.tensor(action), 3)
        )


@pytest.mark.usefixtures("_without_plots")
def test_collapse_is_recognised(square: Path) -> None:
    config = square_configuration(square)
    model = new_model(config)
    fixed_classifier(model, 2)
    found = evaluator(config).evaluate(model)
    assert found.scalars["eval/actions_used"] == 1
    assert found.scalars["eval/action_usage/3"] == 1
    assert found.has_collapsed_actions

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("dynamics_network"):
                parameter.zero_()
    found = evaluator(config).evaluate(model)
    assert found.scalars["eval/action_effect"] == 0
    assert found.has_ineffective_actions


@pytest.mark.usefixtures("_without_plots")
def test_actions_that_change_frames_are_seen_to(square: Path) -> None:
    config = square_configuration(square)
    model = new_model(config)
    with torch.no_grad():
        for parameter in model.rendering_network.parameters():
            parameter.mul_(3)
    found = evaluator(config).evaluate(model)
    assert not found.has_ineffective_actions


@pytest.mark.usefixtures("_without_plots")
def test_true_actions_drive_a_model_that_is_trained_with_them(square: Path) -> None:
    config = square_configuration(square, "training.use_ground_truth_actions=true")
    model = new_model(config)
    fixed_classifier(model, 0)
    found = evaluator(config).evaluate(model)
    assert found.scalars["eval/action_accuracy"] == 1
    assert not found.has_collapsed_actions


def test_without_true_actions_nothing_is_said_about_them(square: Path) -> None:
    config = square_configuration(square, "data.ground_truth_available=false")
    found = evaluator(config).evaluate(new_model(config))
    assert not {"eval/action_accuracy", "eval/most_frequent_action", "eval/movement_accuracy"} & found.scalars.keys()
    assert "accuracy" not in found.summary()


def test_a_video_without_true_actions_leaves_them_out(square: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (square / "data/val/00001/annotations.json").unlink()
    config = square_configuration(square)
    found = evaluator(config).evaluate(new_model(config))
    assert "eval/action_accuracy" not in found.scalars
    assert "warning: data.ground_truth_available is true, but not all validation videos" in capsys.readouterr().out


def test_strange_true_actions_and_unknown_positions(square: Path) -> None:
    frames = [np.full((SIDE, SIDE, 3), value, np.uint8) for value in range(0, 120, 10)]
    actions = [-3, 2**40] * 6
    write_video(square / "data/val/00002", frames, Annotations(actions, [0.0] * 12, [{}] * 12, [False] * 12))
    config = square_configuration(square, "evaluation.max_evaluation_batches=20")
    assert Video(square / "data/val/00002").annotations.actions == actions
    found = evaluator(config).evaluate(new_model(config))
    assert 0 < found.scalars["eval/action_accuracy"] < 1
    assert found.scalars["eval/movement_accuracy"] == 1


@pytest.mark.usefixtures("_without_plots")
def test_the_perceptual_loss_is_the_sum_of_its_levels(square: Path) -> None:
    class Levels(PerceptualNetwork):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

        def forward(self, frames: Tensor) -> list[Tensor]:
            return [frames, 2 * frames]

    config = square_configuration(square)
    scalars = evaluator(config, Levels()).evaluate(new_model(config)).scalars
    for suffix in ("", "/1", "/3"):
        assert scalars[f"eval/perceptual{suffix}"] == pytest.approx(3 * scalars[f"eval/reconstruction{suffix}"])


def test_workers_measure_the_same(square: Path) -> None:
    config = square_configuration(square)
    in_workers = square_configuration(square, "evaluation.batching.num_workers=2")
    model = new_model(config)
    assert evaluator(in_workers).evaluate(model).scalars == evaluator(config).evaluate(model).scalars


def test_batches_are_spread_over_the_split(square: Path) -> None:
    config = square_configuration(square, "evaluation.max_evaluation_batches=1")
    keys = [key for batch in evaluator(config).loader for key in batch.keys]
    assert {key.video for key in keys} == {0, 1}

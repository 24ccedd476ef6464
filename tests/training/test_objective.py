from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from model.build import build_model
from model.perceptual import PerceptualNetwork
from model.playable import Rollout
from tests.configurations import SEEING, small_configuration
from training import losses
from training.objective import TERMS, Loss, Objective
from utils.command import UserError

BATCH, TIME = 2, 4
PHASES = pytest.mark.parametrize("pretraining", [False, True], ids=["full", "pretraining"])

WEIGHTS = {
    "reconstruction": ("reconstruction_loss_lambda", 2.0),
    "states": ("states_rec_lambda", 0.3),
    "entropy": ("entropy_lambda", -0.5),
    "action_directions_kl": ("action_directions_kl_lambda", 0.07),
    "action_mutual_information": ("action_mutual_information_lambda", 1.1),
    "action_state_distribution_kl": ("action_state_distribution_kl_lambda", 0.013),
}
"""The key and a weight of each term that both phases have; pretraining uses ten times the weight."""


class ToyPerceptualNetwork(PerceptualNetwork):
    """Five levels that are the frames at three resolutions, some of them scaled."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def forward(self, frames: Tensor) -> list[Tensor]:
        pooled = functional.avg_pool2d(frames, 2)
        return [frames, 2 * frames, pooled, 3 * pooled, functional.avg_pool2d(pooled, 2)]


def build(*overrides: str, perceptual: bool = False) -> Objective:
    config = small_configuration("training.trainer=training.trainer", *overrides)
    return Objective(config, ToyPerceptualNetwork() if perceptual else None)


def weight(key: str, value: object) -> str:
    return f"training.loss_weights.{key}={value}"


def all_weights(value: float = 0) -> list[str]:
    """Every weight of both phases at one value."""
    keys = [key for key, _ in WEIGHTS.values()]
    twins = [weight(key + phase, value) for key in keys for phase in ("", "_pretraining")]
    return [*twins, weight("hidden_states_rec_lambda_pretraining", value)]


@pytest.fixture
def frames() -> Tensor:
    return torch.rand(BATCH, TIME, 3, 16, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def roll(frames: Tensor, pretraining: bool, *overrides: str) -> Rollout:
    torch.manual_seed(1)
    model = build_model(small_configuration(*overrides))
    rollout = model(frames.repeat(1, 1, model.stack_shape[0], 1, 1), 2, pretraining=pretraining)
    assert isinstance(rollout, Rollout)
    return rollout


def l1_over_resolutions(rollout: Rollout, truth: Tensor, motion: Tensor | None = None) -> Tensor:
    """Mean over resolutions of the L1 between frames of equal number."""
    terms = []
    for _, reconstruction in rollout.frames.resolutions():
        size = (reconstruction.shape[-2], reconstruction.shape[-1])
        distance = (losses.resize_frames(truth, size) - reconstruction).abs().mean(dim=2, keepdim=True)
        if motion is None:
            terms.append(distance.mean())
        else:
            weights = losses.resize_frames(motion, size)
            terms.append(((distance * weights).sum(dim=(2, 3, 4)) / weights.sum(dim=(2, 3, 4))).mean())
    return torch.stack(terms).mean()


@PHASES
def test_the_total_is_the_weighted_sum_of_the_terms_of_the_phase(pretraining: bool, frames: Tensor) -> None:
    overrides = [weight("hidden_states_rec_lambda_pretraining", 0.9)]
    for key, value in WEIGHTS.values():
        overrides += [weight(key, value), weight(f"{key}_pretraining", 10 * value)]

    loss = build(*overrides)(roll(frames, pretraining), frames, pretraining)

    signs = {"action_mutual_information": -1}  # it is maximised
    scale = 10 if pretraining else 1
    expected = sum(scale * signs.get(name, 1) * value * loss.terms[name] for name, (_, value) in WEIGHTS.items())
    if pretraining:
        expected += 0.9 * loss.terms["hidden_states"]
    torch.testing.assert_close(loss.total.detach(), expected)
    assert loss.terms.keys() == {"loss", *WEIGHTS} | ({"hidden_states"} if pretraining else set())
    assert torch.equal(loss.terms["loss"], loss.total.detach())
    assert not any(term.requires_grad for term in loss.terms.values())


@PHASES
def test_terms_are_what_they_are_called(pretraining: bool, frames: Tensor) -> None:
    rollout = roll(frames, pretraining)

    terms = build()(rollout, frames, pretraining).terms

    inferred, reconstructed = rollout.inferred_actions, rollout.reconstructed_actions
    joint = losses.joint_action_matrix(inferred.probabilities, reconstructed.probabilities)
    expected = {
        "reconstruction": l1_over_resolutions(rollout, frames if pretraining else frames[:, 1:]),
        "states": (rollout.reconstructed_states - rollout.states).square().mean(),
        "action_directions_kl": losses.kl_to_standard_normal(inferred.directions),
        "action_mutual_information": losses.mutual_information(joint),
        "action_state_distribution_kl": losses.kl_between_action_states(
            reconstructed.action_states, inferred.action_states
        ),
        "entropy": -(inferred.probabilities * inferred.log_probabilities).sum(dim=-1).mean(),
    }
    if pretraining:
        assert rollout.encoded_hidden_states is not None
        distance = rollout.hidden_states - rollout.encoded_hidden_states[:, 1:]
        expected["hidden_states"] = distance.square().mean()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value.detach(), msg=name)


@PHASES
def test_every_term_has_a_weight_and_every_weight_a_term(pretraining: bool) -> None:
    weights = small_configuration().training.loss_weights.in_phase(pretraining)
    assert sorted(term.key for term in TERMS) == sorted(weights)
    assert len({term.name for term in TERMS}) == len(TERMS)


def test_hidden_states_follow_the_encoded_ones(frames: Tensor) -> None:
    """The term moves the dynamics alone; state-to-hidden learns from what is decoded."""
    rollout = roll(frames, pretraining=True)
    assert rollout.encoded_hidden_states is not None
    objective = build(*all_weights(), weight("hidden_states_rec_lambda_pretraining", 1), weight("states_rec_lambda", 1))

    gradients = torch.autograd.grad(
        objective(rollout, frames, True).total,
        (rollout.hidden_states, rollout.encoded_hidden_states),
        allow_unused=True,
    )

    assert gradients[0] is not None
    assert gradients[1] is None


def test_a_term_of_weight_zero_is_reported_without_a_part_in_the_total(frames: Tensor) -> None:
    rollout = roll(frames, pretraining=False)
    objective = build(*all_weights(), weight("states_rec_lambda", 1), weight("states_rec_lambda_pretraining", 1))

    loss = objective(rollout, frames, False)

    assert torch.equal(loss.total.detach(), loss.terms["states"])
    assert loss.terms["reconstruction"] > 0
    assert torch.autograd.grad(loss.total, rollout.frames.full, allow_unused=True) == (None,)


# Perceptual


def perceptual_over_resolutions(rollout: Rollout, truth: Tensor, motion: Tensor | None = None) -> Tensor:
    """Mean over resolutions of the toy network's five level losses."""
    network, levels = ToyPerceptualNetwork(), torch.zeros(5)
    for _, reconstruction in rollout.frames.resolutions():
        size = (reconstruction.shape[-2], reconstruction.shape[-1])
        distances = losses.perceptual_level_losses(
            network(losses.resize_frames(truth, size).flatten(0, 1)),
            network(reconstruction.detach().flatten(0, 1)),
            (BATCH, reconstruction.shape[1]),
            None if motion is None else losses.resize_frames(motion, size),
        )
        levels += torch.stack(distances) / 3
    return levels


def perceptual(frames: Tensor, *overrides: str, pretraining: bool = False) -> Loss:
    """The loss where every other weight of the phase is zero, so that the total is the perceptual term."""
    other_phase = weight("states_rec_lambda" if pretraining else "states_rec_lambda_pretraining", 1)
    return build(*all_weights(), other_phase, *overrides, perceptual=True)(
        roll(frames, pretraining), frames, pretraining
    )


@PHASES
def test_perceptual_term_over_levels_and_resolutions(pretraining: bool, frames: Tensor) -> None:
    key = "perceptual_loss_lambda_pretraining" if pretraining else "perceptual_loss_lambda"

    loss = perceptual(frames, weight(key, 0.5), pretraining=pretraining)

    levels = perceptual_over_resolutions(roll(frames, pretraining), frames if pretraining else frames[:, 1:])
    torch.testing.assert_close(loss.terms["perceptual"], levels.sum())
    torch.testing.assert_close(loss.total.detach(), 0.5 * (levels * torch.tensor([1.0, 2, 2, 2, 2])).sum())


def test_a_perceptual_list_replaces_scalar_times_level_weights(frames: Tensor) -> None:
    levels = weight("perceptual_level_weights", [1.0, 0.5, 0.25, 2.0, 4.0])

    as_scalar = perceptual(frames, levels, weight("perceptual_loss_lambda", 2))
    as_list = perceptual(frames, levels, weight("perceptual_loss_lambda", [2.0, 1.0, 0.5, 4.0, 8.0]))
    one_level = perceptual(frames, levels, weight("perceptual_loss_lambda", [0, 0, 0, 0, 1.0]))

    torch.testing.assert_close(as_scalar.total, as_list.total)
    assert one_level.total < as_list.total / 8
    assert as_scalar.terms["perceptual"] == as_list.terms["perceptual"] == one_level.terms["perceptual"]


def test_each_phase_has_its_own_perceptual_weight(frames: Tensor) -> None:
    override = weight("perceptual_loss_lambda_pretraining", 1)

    assert "perceptual" in perceptual(frames, override, pretraining=True).terms
    without = build(override)(roll(frames, False), frames, False)  # and needs no network
    assert "perceptual" not in without.terms


def test_perceptual_network_is_needed_where_either_phase_weighs_it() -> None:
    for overrides, needed in (
        ([], False),
        ([weight("perceptual_loss_lambda", 0.1)], True),
        ([weight("perceptual_loss_lambda_pretraining", [0, 0, 1, 0, 0])], True),
        ([weight("perceptual_loss_lambda", [0, 0, 0, 0, 0])], False),
    ):
        assert small_configuration(*overrides).training.loss_weights.need_perceptual_network == needed


# Motion weights

MOTION_WEIGHTS: dict[str, Callable[..., Tensor]] = {
    "truth_and_reconstruction": partial(losses.motion_weights, dilation=3),
    "truth": partial(losses.motion_weights, dilation=3),
    "foreground_of_truth_and_reconstruction": losses.foreground_weights,
    "foreground_of_truth": losses.foreground_weights,
}
"""What each source stands for."""


@PHASES
@pytest.mark.parametrize("source", MOTION_WEIGHTS)
def test_motion_weights(source: str, pretraining: bool, frames: Tensor) -> None:
    rollout = roll(frames, pretraining)
    objective = build(
        "training.use_motion_weights=true",
        f"training.motion_weights_source={source}",
        "training.motion_weights_bias=0.2",
        "training.motion_weights_dilation=3",
        "training.motion_weights_limit=5.0",
        "training.motion_weights_reconstruction_share=0.5",
        weight("perceptual_loss_lambda", 1),
        weight("perceptual_loss_lambda_pretraining", 1),
        perceptual=True,
    )

    terms = objective(rollout, frames, pretraining).terms

    reconstruction = rollout.frames.full if pretraining else torch.cat([frames[:, :1], rollout.frames.full], dim=1)
    sees_reconstruction = source.endswith("truth_and_reconstruction")
    motion = MOTION_WEIGHTS[source](
        frames, reconstruction if sees_reconstruction else None, bias=0.2, limit=5.0, reconstruction_share=0.5
    )
    truth = frames
    if not pretraining:
        motion, truth = motion[:, 1:], truth[:, 1:]
    assert motion.std() > 0.1
    torch.testing.assert_close(terms["reconstruction"], l1_over_resolutions(rollout, truth, motion).detach())
    torch.testing.assert_close(terms["perceptual"], perceptual_over_resolutions(rollout, truth, motion).sum())


# Cross-entropy


@PHASES
@pytest.mark.parametrize("is_weighted", [False, True])
def test_cross_entropy_is_that_of_all_pixels_weighted_by_motion(
    pretraining: bool, is_weighted: bool, frames: Tensor
) -> None:
    rollout = roll(frames, pretraining, *SEEING)
    objective = build(
        *all_weights(),
        weight("cross_entropy_lambda", 2),
        weight("cross_entropy_lambda_pretraining", 2),
        f"training.use_motion_weights={is_weighted}".lower(),
        "training.motion_weights_source=foreground_of_truth",
    )

    loss = objective(rollout, frames, pretraining)

    assert rollout.frames.log_probability is not None
    assert rollout.frames.log_complement is not None
    motion = losses.foreground_weights(frames, None)[:, 1:] if is_weighted else None
    expected = losses.cross_entropy(
        frames[:, 1:], rollout.frames.log_probability, rollout.frames.log_complement, motion
    ).detach()
    torch.testing.assert_close(loss.terms["cross_entropy"], expected)
    torch.testing.assert_close(loss.total.detach(), 2 * expected)


def test_there_is_no_cross_entropy_of_frames_alone(frames: Tensor) -> None:
    loss = build(weight("cross_entropy_lambda", 1))(roll(frames, False), frames, False)
    assert "cross_entropy" not in loss.terms


def test_painting_is_the_share_of_pixels_that_are_not_kept(frames: Tensor) -> None:
    rollout = roll(frames, False, *SEEING)
    assert rollout.frames.painted is not None
    loss = build("training.loss_weights.reconstruction_loss_lambda=0", weight("painting_lambda", 2))(
        rollout, frames, False
    )
    torch.testing.assert_close(loss.terms["painting"], rollout.frames.painted.mean().detach())
    assert 0 < loss.terms["painting"] < 0.1  # at first nearly everything is kept


def test_the_action_prior_is_compared_with_the_inferred_actions(frames: Tensor) -> None:
    rollout = roll(frames, False, weight("action_prior_lambda", 1))
    prior, inferred = rollout.prior_logits, rollout.inferred_actions.most_probable
    assert prior is not None
    expected = -prior.log_softmax(dim=-1).gather(-1, inferred[..., None]).mean()
    loss = build(weight("action_prior_lambda", 3))(rollout, frames, False)
    torch.testing.assert_close(loss.terms["action_prior"], expected.detach())


@pytest.mark.parametrize("name", ["painting_lambda", "action_prior_lambda"])
def test_what_a_model_lacks_is_told(name: str) -> None:
    with pytest.raises(UserError, match=f"^training.loss_weights.{name}: this model .*, or set it to 0"):
        build(weight(name, 1)).require_terms(build_model(small_configuration()))


@pytest.mark.parametrize("key", ["cross_entropy_lambda", "cross_entropy_lambda_pretraining"])
def test_a_weight_is_refused_whose_term_the_model_cannot_have(key: str) -> None:
    published, seeing = build_model(small_configuration()), build_model(small_configuration(*SEEING))
    objective = build(weight(key, 1))
    with pytest.raises(UserError, match=f"^training.loss_weights.{key}: .* have no log-probabilities; set model.arch"):
        objective.require_terms(published)
    objective.require_terms(seeing)
    build().require_terms(published)
    if key.endswith("pretraining"):
        build(weight(key, 1), "training.pretraining_steps=0").require_terms(published)  # it is never used


# Mutual information


def test_the_smooth_trainer_blends_joints_over_steps(frames: Tensor) -> None:
    rollout = roll(frames, pretraining=False)
    objective = build(
        "training.trainer=training.smooth_mi_trainer", "training.mutual_information_estimation_alpha=0.25"
    )
    joint = losses.joint_action_matrix(
        rollout.inferred_actions.probabilities, rollout.reconstructed_actions.probabilities
    ).detach()

    running = torch.full((3, 3), 1 / 9)
    for _ in range(3):
        term = objective(rollout, frames, False).terms["action_mutual_information"]
        running = 0.75 * running + 0.25 * joint
        torch.testing.assert_close(term, losses.mutual_information(running))

    state = objective.mi_estimator_state()
    assert state.keys() == {"mi_estimator"}
    assert state["mi_estimator"].keys() == {"matrix_estimator.estimated_matrix"}
    torch.testing.assert_close(state["mi_estimator"]["matrix_estimator.estimated_matrix"], running)


def test_the_running_joint_is_restored() -> None:
    objective = build("training.trainer=training.smooth_mi_trainer")
    matrix = torch.rand(3, 3)

    objective.load_mi_estimator_state({"matrix_estimator.estimated_matrix": matrix})

    assert objective.mi_estimator is not None
    assert torch.equal(objective.mi_estimator.estimated_matrix, matrix)
    with pytest.raises(RuntimeError):
        objective.load_mi_estimator_state({"matrix_estimator.estimated_matrix": torch.rand(7, 7)})


def test_the_plain_trainer_keeps_nothing() -> None:
    objective = build()

    assert objective.mi_estimator_state() == {}
    objective.load_mi_estimator_state({"matrix_estimator.estimated_matrix": torch.rand(3, 3)})  # of a smooth run
    assert not list(objective.parameters())


def test_the_entropy_lambda_weighs_marginals(frames: Tensor) -> None:
    rollout = roll(frames, pretraining=False)

    term = build("training.action_mutual_information_entropy_lambda=1.5")(rollout, frames, False).terms

    joint = losses.joint_action_matrix(
        rollout.inferred_actions.probabilities, rollout.reconstructed_actions.probabilities
    )
    expected = losses.mutual_information(joint, entropy_lambda=1.5).detach()
    torch.testing.assert_close(term["action_mutual_information"], expected)


@pytest.mark.parametrize("source", ["things", "camera"])
@pytest.mark.parametrize("region", ["null", "[0, 0, 80, 208]"])
def test_the_movement_that_directions_follow(source: str, region: str, frames: Tensor) -> None:
    overrides = [f"data.play_region={region}", f"training.action_directions_motion_source={source}"]
    rollout = roll(frames, False, *overrides)
    loss = build(*overrides, weight("action_directions_motion_lambda", 1))(rollout, frames, pretraining=False)
    means = rollout.inferred_actions.directions.mean
    if source == "camera":
        expected = losses.camera_alignment_loss(means, frames)
    else:
        expected = losses.motion_alignment_loss(means, frames if region == "null" else frames[..., :16])
    torch.testing.assert_close(loss.terms["action_directions_motion"], expected.detach())

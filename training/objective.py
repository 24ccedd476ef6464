"""The training objective: the loss of a rollout and its terms (docs/method.md#objective).

A new term is a function here or in a file of its own, an entry in `TERMS`, and a weight in
`utils.configuration.LossWeights`.

Dimensions: B batch, T observations in a sequence, R reconstructed frames (T-1, or T in pretraining).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.perceptual import PerceptualNetwork
from model.playable import PlayableModel, Rollout
from training import losses
from training.perceptual_loss import PerceptualDistance, PerceptualLoss
from utils.command import UserError
from utils.configuration import Configuration


class Resolution(NamedTuple):
    """Reconstructed and true frames at one resolution."""

    truth: Tensor  # (B, R, 3, H, W) in [-1, 1]
    frames: Tensor  # (B, R, 3, H, W) in [-1, 1]
    motion: Tensor | None  # (B, R, 1, H, W) weights of the pixels, None for equal ones


@dataclass(frozen=True)
class Comparison:
    """A rollout and its true frames: the input of the terms."""

    rollout: Rollout
    true_frames: Tensor  # (B, T, 3, H, W) in [-1, 1]
    resolutions: list[Resolution]
    """The frames at each resolution, the largest first."""
    perceptual_levels: list[float]
    """Weights of the five levels of the perceptual network."""
    labels: Tensor | None = None  # (B, T-1) known actions, negative where unknown; None if no step has one


@dataclass(frozen=True)
class Loss:
    """The value to minimise and its terms."""

    total: Tensor
    """Scalar, with gradient."""
    terms: dict[str, Tensor]
    """Detached scalars: `loss` (the total), and each term before weighting."""


class Objective(nn.Module):
    """The weighted sum of the terms, and the running joint action matrix of the smooth mutual information."""

    def __init__(self, config: Configuration, perceptual_network: PerceptualNetwork | None = None) -> None:
        """Create the objective.

        Args:
            config: the run's configuration.
            perceptual_network: required if a perceptual weight is above zero.
        """
        super().__init__()
        self.settings = config.training
        self.play_region = config.play_region
        keys = self.settings.loss_weights.in_phase(pretraining=False).keys()
        assert {term.key for term in TERMS} == keys, "every term has a weight, and every weight a term"
        self.perceptual_loss: PerceptualLoss | None = None
        if perceptual_network is not None:
            self.perceptual_loss = PerceptualLoss(perceptual_network, self.settings.precision == "bf16")
        self.mi_estimator: losses.SmoothJointEstimator | None = None
        if self.settings.trainer == "training.smooth_mi_trainer":
            self.mi_estimator = losses.SmoothJointEstimator(
                config.data.actions_count, self.settings.mutual_information_estimation_alpha
            )

    def require_terms(self, model: PlayableModel) -> None:
        """Check that this model supports every term with a weight.

        Raises:
            UserError: it does not; the message names the key and the remedy.
        """
        settings = self.settings
        phases = {True: settings.pretraining_steps > 0, False: settings.max_steps > settings.pretraining_steps}
        for pretraining in (phase for phase, is_passed in phases.items() if is_passed):
            weights = settings.loss_weights.in_phase(pretraining)
            for term in TERMS:
                obstacle = term.obstacle(model) if term.obstacle and weights[term.key] else None
                if obstacle:
                    key = f"training.loss_weights.{term.key}{'_pretraining' if pretraining else ''}"
                    raise UserError(f"{key}: {obstacle}, or set it to 0")

    def forward(self, rollout: Rollout, true_frames: Tensor, pretraining: bool, labels: Tensor | None = None) -> Loss:
        """Return the loss of a rollout, given its true frames (B, T, 3, H, W) in [-1, 1].

        The labels (B, T-1) are the actions that are known, and negative where they are not; None if no step has one.
        """
        loss_weights = self.settings.loss_weights
        weights = loss_weights.in_phase(pretraining)
        comparison = Comparison(
            rollout,
            true_frames,
            self._resolutions(rollout, true_frames),
            loss_weights.perceptual_levels(pretraining),
            labels,
        )
        terms: dict[str, Tensor] = {}
        weighted: list[Tensor] = []
        for term in TERMS:
            weight = weights[term.key]
            if not (weight or term.is_always_logged):
                continue
            value = term.compute(comparison, self)
            if isinstance(value, PerceptualDistance):
                terms[term.name] = value.plain
                weighted.append(value.weighted)
            elif value is not None:
                terms[term.name] = value
                if weight:
                    weighted.append(term.sign * weight * value)
        total = torch.stack(weighted).sum()
        return Loss(total, {"loss": total.detach(), **{name: term.detach() for name, term in terms.items()}})

    def joint_actions(self, rollout: Rollout) -> Tensor:
        """The joint distribution (K, K) of the actions inferred from true and from reconstructed sequences.

        The smooth variant updates its moving average with it and returns the average.
        """
        joint = losses.joint_action_matrix(
            rollout.inferred_actions.probabilities, rollout.reconstructed_actions.probabilities
        )
        return joint if self.mi_estimator is None else self.mi_estimator(joint)

    def mi_estimator_state(self) -> dict[str, dict[str, Tensor]]:
        """The published checkpoint entry `mi_estimator`; empty without the smooth variant."""
        if self.mi_estimator is None:
            return {}
        return {"mi_estimator": {"matrix_estimator.estimated_matrix": self.mi_estimator.estimated_matrix}}

    def load_mi_estimator_state(self, state: dict[str, Tensor]) -> None:
        """Restore the entry `mi_estimator` of a checkpoint; the plain variant ignores it.

        Raises:
            KeyError: the entry lacks the matrix.
            RuntimeError: the matrix is for another number of actions.
        """
        if self.mi_estimator is not None:
            self.mi_estimator.load_state_dict({"estimated_matrix": state["matrix_estimator.estimated_matrix"]})

    def _resolutions(self, rollout: Rollout, true_frames: Tensor) -> list[Resolution]:
        num_frames = rollout.frames.full.shape[1]
        truth, motion = true_frames[:, -num_frames:], None
        if self.settings.use_motion_weights:
            motion = self._motion_weights(rollout, true_frames)[:, -num_frames:]
        resolutions = []
        for _, frames in rollout.frames.resolutions():
            size = (frames.shape[-2], frames.shape[-1])
            resized_motion = None if motion is None else losses.resize_frames(motion, size)
            resolutions.append(Resolution(losses.resize_frames(truth, size), frames, resized_motion))
        return resolutions

    def _motion_weights(self, rollout: Rollout, true_frames: Tensor) -> Tensor:
        """The weights (B, T, 1, H, W) of the pixels."""
        settings = self.settings
        reconstruction = None
        if settings.motion_weights_source.endswith("truth_and_reconstruction"):
            missing = true_frames.shape[1] - rollout.frames.full.shape[1]
            reconstruction = torch.cat([true_frames[:, :missing], rollout.frames.full], dim=1)
        weigh = (
            losses.foreground_weights
            if settings.motion_weights_source.startswith("foreground")
            else partial(losses.motion_weights, dilation=settings.motion_weights_dilation)
        )
        return weigh(
            true_frames,
            reconstruction,
            bias=settings.motion_weights_bias,
            limit=settings.motion_weights_limit,
            reconstruction_share=settings.motion_weights_reconstruction_share,
        )


Compute = Callable[[Comparison, Objective], Tensor | PerceptualDistance | None]
"""Returns a term's value before weighting, with gradient; None if the rollout lacks what the term needs."""


@dataclass(frozen=True)
class Term:
    """A term of the objective."""

    name: str
    """The name in the log."""
    key: str
    """The key of its weight in `training.loss_weights`; the weight in pretraining has the suffix `_pretraining`."""
    compute: Compute
    sign: int = 1
    """-1 if it is maximised."""
    is_always_logged: bool = False
    """Whether it is computed and logged even if its weight is zero."""
    obstacle: Callable[[PlayableModel], str | None] | None = None
    """Returns what a model lacks for the term, with the remedy; None if it lacks nothing."""


def _reconstruction(comparison: Comparison, _: Objective) -> Tensor:
    return torch.stack([losses.reconstruction_loss(*resolution) for resolution in comparison.resolutions]).mean()


def _cross_entropy(comparison: Comparison, _: Objective) -> Tensor | None:
    frames, full = comparison.rollout.frames, comparison.resolutions[0]
    if frames.log_probability is None or frames.log_complement is None:
        return None
    return losses.cross_entropy(full.truth, frames.log_probability, frames.log_complement, full.motion)


def _no_log_probabilities(model: PlayableModel) -> str | None:
    if model.gives_log_probabilities:
        return None
    return "the frames of this model have no log-probabilities; set model.architecture to model.seeing_model.model"


def _keeps_no_pixels(model: PlayableModel) -> str | None:
    if model.keeps_pixels:
        return None
    return "this model keeps no pixels; set model.architecture to model.seeing_model.model"


def _painting(comparison: Comparison, _: Objective) -> Tensor | None:
    painted = comparison.rollout.frames.painted
    return None if painted is None else painted.mean()


def _states(comparison: Comparison, _: Objective) -> Tensor:
    return losses.states_loss(comparison.rollout.reconstructed_states, comparison.rollout.states)


def _action_directions_kl(comparison: Comparison, _: Objective) -> Tensor:
    return losses.kl_to_standard_normal(comparison.rollout.inferred_actions.directions)


def _action_mutual_information(comparison: Comparison, objective: Objective) -> Tensor:
    entropy_lambda = objective.settings.action_mutual_information_entropy_lambda
    return losses.mutual_information(objective.joint_actions(comparison.rollout), entropy_lambda)


def _action_state_distribution_kl(comparison: Comparison, _: Objective) -> Tensor:
    rollout = comparison.rollout
    return losses.kl_between_action_states(
        rollout.reconstructed_actions.action_states, rollout.inferred_actions.action_states
    )


def _entropy(comparison: Comparison, _: Objective) -> Tensor:
    return losses.entropy(comparison.rollout.inferred_actions.probabilities)


def _action_directions_motion(comparison: Comparison, objective: Objective) -> Tensor:
    directions, frames = comparison.rollout.inferred_actions.directions.mean, comparison.true_frames
    if objective.settings.action_directions_motion_source == "camera":
        return losses.camera_alignment_loss(directions, frames)
    if objective.play_region is not None:
        rows, columns = objective.play_region.pixels
        frames = frames[..., rows, columns]
    return losses.motion_alignment_loss(directions, frames)


def _action_supervision(comparison: Comparison, _: Objective) -> Tensor | None:
    if comparison.labels is None:
        return None
    return losses.supervision_loss(comparison.rollout.inferred_actions.log_probabilities, comparison.labels)


def _no_action_prior(model: PlayableModel) -> str | None:
    return None if model.has_action_prior else "this model has no action prior; choose another model.architecture"


def _action_prior(comparison: Comparison, _: Objective) -> Tensor | None:
    prior = comparison.rollout.prior_logits
    if prior is None:
        return None
    return functional.cross_entropy(prior.flatten(0, 1), comparison.rollout.inferred_actions.most_probable.flatten())


def _hidden_states(comparison: Comparison, _: Objective) -> Tensor | None:
    encoded = comparison.rollout.encoded_hidden_states
    return None if encoded is None else losses.states_loss(comparison.rollout.hidden_states, encoded[:, 1:])


def _perceptual(comparison: Comparison, objective: Objective) -> PerceptualDistance:
    assert objective.perceptual_loss is not None, "a perceptual weight above zero needs the perceptual network"
    levels = comparison.perceptual_levels
    distances = [objective.perceptual_loss(*resolution, levels) for resolution in comparison.resolutions]
    return PerceptualDistance(*(torch.stack(values).mean() for values in zip(*distances, strict=True)))


TERMS: tuple[Term, ...] = (
    Term("reconstruction", "reconstruction_loss_lambda", _reconstruction, is_always_logged=True),
    Term(
        "cross_entropy", "cross_entropy_lambda", _cross_entropy, is_always_logged=True, obstacle=_no_log_probabilities
    ),
    Term("painting", "painting_lambda", _painting, obstacle=_keeps_no_pixels),
    Term("states", "states_rec_lambda", _states, is_always_logged=True),
    Term("action_directions_kl", "action_directions_kl_lambda", _action_directions_kl, is_always_logged=True),
    Term(
        "action_mutual_information",
        "action_mutual_information_lambda",
        _action_mutual_information,
        sign=-1,
        is_always_logged=True,
    ),
    Term(
        "action_state_distribution_kl",
        "action_state_distribution_kl_lambda",
        _action_state_distribution_kl,
        is_always_logged=True,
    ),
    Term("entropy", "entropy_lambda", _entropy, is_always_logged=True),
    Term("action_directions_motion", "action_directions_motion_lambda", _action_directions_motion),
    Term("action_supervision", "action_supervision_lambda", _action_supervision),
    Term("action_prior", "action_prior_lambda", _action_prior, obstacle=_no_action_prior),
    Term("hidden_states", "hidden_states_rec_lambda", _hidden_states, is_always_logged=True),
    Term("perceptual", "perceptual_loss_lambda", _perceptual),
)
"""All terms, in the order in which they are added up."""

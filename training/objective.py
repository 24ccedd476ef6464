"""The objective: a rollout and its true frames become one loss and its terms (docs/method.md#objective).

Dimensions: B batch, T observations in a sequence, R reconstructed frames (T-1, or T in pretraining).
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from model.perceptual import PerceptualNetwork
from model.playable import Rollout
from model.rendering import Frames
from training import losses
from training.perceptual_loss import PerceptualLoss
from utils.configuration import Configuration


@dataclass(frozen=True)
class Loss:
    """The value to minimise and what it is made of."""

    total: Tensor  # scalar, with gradient
    terms: dict[str, Tensor]  # detached scalars: `loss` (the total), and each term before weighting


class Objective(nn.Module):
    """Weighs the terms; holds the running joint action matrix of the smooth mutual information."""

    def __init__(self, config: Configuration, perceptual_network: PerceptualNetwork | None = None) -> None:
        """Create the objective.

        Args:
            config: the run's configuration.
            perceptual_network: needed where a perceptual weight is above zero.
        """
        super().__init__()
        self.settings = config.training
        self.perceptual_loss: PerceptualLoss | None = None
        if perceptual_network is not None:
            self.perceptual_loss = PerceptualLoss(perceptual_network, self.settings.precision == "bf16")
        self.mi_estimator: losses.SmoothJointEstimator | None = None
        if self.settings.trainer == "training.smooth_mi_trainer":
            self.mi_estimator = losses.SmoothJointEstimator(
                config.data.actions_count, self.settings.mutual_information_estimation_alpha
            )

    def forward(self, rollout: Rollout, true_frames: Tensor, pretraining: bool) -> Loss:
        """Compute the loss of a rollout whose true frames (B, T, 3, H, W) in [-1, 1] are given."""
        weights = self.settings.loss_weights.in_phase(pretraining)
        num_frames = rollout.frames.full.shape[1]
        truth = true_frames[:, -num_frames:]
        motion = None
        if self.settings.use_motion_weights:
            motion = self._motion_weights(rollout, true_frames)[:, -num_frames:]

        reconstruction_losses, perceptual_distances = [], []
        for _, frames in rollout.frames.resolutions():
            size = (frames.shape[-2], frames.shape[-1])
            resized = losses.resize_frames(truth, size)
            resized_motion = None if motion is None else losses.resize_frames(motion, size)
            reconstruction_losses.append(losses.reconstruction_loss(resized, frames, resized_motion))
            if any(weights.perceptual_levels):
                assert self.perceptual_loss is not None, "a perceptual weight above zero needs the perceptual network"
                perceptual_distances.append(
                    self.perceptual_loss(resized, frames, resized_motion, weights.perceptual_levels)
                )

        inferred, reconstructed = rollout.inferred_actions, rollout.reconstructed_actions
        probabilities = inferred.probabilities
        joint = losses.joint_action_matrix(probabilities, reconstructed.probabilities)
        if self.mi_estimator is not None:
            joint = self.mi_estimator(joint)
        terms = {
            "reconstruction": torch.stack(reconstruction_losses).mean(),
            **self._cross_entropy(rollout.frames, truth, motion),
            "states": losses.states_loss(rollout.reconstructed_states, rollout.states),
            "action_directions_kl": losses.kl_to_standard_normal(inferred.directions),
            "action_mutual_information": losses.mutual_information(
                joint, self.settings.action_mutual_information_entropy_lambda
            ),
            "action_state_distribution_kl": losses.kl_between_action_states(
                reconstructed.action_states, inferred.action_states
            ),
            "entropy": losses.entropy(probabilities),
        }
        if weights.scalars["action_directions_motion"]:
            terms["action_directions_motion"] = losses.motion_alignment_loss(inferred.directions.mean, true_frames)
        if rollout.encoded_hidden_states is not None:
            terms["hidden_states"] = losses.states_loss(rollout.hidden_states, rollout.encoded_hidden_states[:, 1:])
        weighted = [weights.scalars[name] * term for name, term in terms.items() if weights.scalars[name]]
        if perceptual_distances:
            weighted.append(torch.stack([distance.weighted for distance in perceptual_distances]).mean())
            terms["perceptual"] = torch.stack([distance.plain for distance in perceptual_distances]).mean()
        total = torch.stack(weighted).sum()
        return Loss(total, {"loss": total.detach(), **{name: term.detach() for name, term in terms.items()}})

    def mi_estimator_state(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint holds of the objective: the published entry `mi_estimator`, of the smooth variant only."""
        if self.mi_estimator is None:
            return {}
        return {"mi_estimator": {"matrix_estimator.estimated_matrix": self.mi_estimator.estimated_matrix}}

    def load_mi_estimator_state(self, state: dict[str, Tensor]) -> None:
        """Take over the entry `mi_estimator` of a checkpoint; the plain variant has no use for it.

        Raises:
            KeyError, RuntimeError: the entry is not as published, or is for another number of actions.
        """
        if self.mi_estimator is not None:
            self.mi_estimator.load_state_dict({"estimated_matrix": state["matrix_estimator.estimated_matrix"]})

    def _cross_entropy(self, frames: Frames, truth: Tensor, motion: Tensor | None) -> dict[str, Tensor]:
        """The term of that name, if the renderer gives log-probabilities; there are none of what is kept in [-1, 1]."""
        if frames.log_probability is None or frames.log_complement is None:
            return {}
        return {"cross_entropy": losses.cross_entropy(truth, frames.log_probability, frames.log_complement, motion)}

    def _motion_weights(self, rollout: Rollout, true_frames: Tensor) -> Tensor:
        """(B, T, 1, H, W)."""
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

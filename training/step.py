"""One training step from observations to the loss: what ranks repeat side by side."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.noise import Noise
from model.playable import ActionSampler, PlayableModel, Rollout
from training.objective import Loss, Objective
from utils import ranks


@dataclass(frozen=True)
class Phase:
    """What the schedules say of a step."""

    pretraining: bool
    ground_truth_observations: int
    gumbel_temperature: float


@dataclass(frozen=True)
class UsedActions:
    """What a plot of the action space shows of a step, without gradient."""

    directions: Tensor  # (B, T-1, D) sampled
    action_states: Tensor  # (B, T, D) sampled
    weights: Tensor  # (B, T-1, K)

    @classmethod
    def of(cls, rollout: Rollout) -> "UsedActions":
        """Read them off a rollout."""
        inferred = rollout.inferred_actions
        return cls(
            inferred.sampled_directions.detach(), inferred.sampled_action_states.detach(), rollout.actions.detach()
        )


@dataclass(frozen=True)
class StepResult:
    """The outcome of a step before the model is updated."""

    loss: Loss
    actions: UsedActions


class TrainingStep(nn.Module):
    """Rolls the model out over a batch, or over a rank's share of one, and weighs the terms of the objective."""

    def __init__(self, model: PlayableModel, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.uses_bf16 = objective.settings.precision == "bf16"
        self.uses_cuda_graphs = objective.settings.cuda_graphs

    def forward(self, observations: Tensor, phase: Phase, action_sampler: ActionSampler | None = None) -> StepResult:
        """Compute the loss.

        Args:
            observations: (B, T, 3S, height, width) in [-1, 1].
            phase: what the schedules say.
            action_sampler: replaces the Gumbel-Softmax choice of actions.
        """
        if self.uses_cuda_graphs:  # until the next mark, what networks return is not overwritten
            torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast(observations.device.type, torch.bfloat16, enabled=self.uses_bf16):
            rollout = self.model(
                observations,
                phase.ground_truth_observations,
                phase.gumbel_temperature,
                phase.pretraining,
                action_sampler=action_sampler,
                noise=Noise(None, ranks.rank(), ranks.num_ranks()),
            )
        loss = self.objective(rollout, observations[:, :, :3], phase.pretraining)
        return StepResult(loss, UsedActions.of(rollout))

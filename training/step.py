"""Forward pass and loss of a training step: the module that DistributedDataParallel wraps."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.noise import Noise
from model.playable import ActionSampler, PlayableModel, Rollout
from training.objective import Loss, Objective
from utils import ranks


@dataclass(frozen=True)
class Phase:
    """The values of the schedules at a step."""

    pretraining: bool
    ground_truth_observations: int
    gumbel_temperature: float


@dataclass(frozen=True)
class UsedActions:
    """The actions of a step for a plot of the action space, without gradient."""

    directions: Tensor  # (B, T-1, D), sampled
    action_states: Tensor  # (B, T, D), sampled
    weights: Tensor  # (B, T-1, K)

    @classmethod
    def of(cls, rollout: Rollout) -> "UsedActions":
        """Return the actions of a rollout."""
        inferred = rollout.inferred_actions
        return cls(
            inferred.sampled_directions.detach(), inferred.sampled_action_states.detach(), rollout.actions.detach()
        )


@dataclass(frozen=True)
class StepResult:
    """The loss and the actions of a step, before the model is updated."""

    loss: Loss
    actions: UsedActions


class TrainingStep(nn.Module):
    """Rolls the model out over a batch, or over a rank's share of one, and computes the objective."""

    def __init__(self, model: PlayableModel, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.uses_bf16 = objective.settings.precision == "bf16"
        self.uses_cuda_graphs = objective.settings.cuda_graphs

    def forward(
        self,
        observations: Tensor,
        phase: Phase,
        action_sampler: ActionSampler | None = None,
        labels: Tensor | None = None,
    ) -> StepResult:
        """Return the loss and the actions.

        Args:
            observations: (B, T, 3S, height, width) in [-1, 1].
            phase: the values of the schedules.
            action_sampler: replaces the Gumbel-Softmax choice of actions.
            labels: (B, T) actions that are known, negative where they are not; None if no frame has one.
        """
        if self.uses_cuda_graphs:  # outputs of the networks are not overwritten until the next mark
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
        known = None if labels is None else labels[:, :-1]
        loss = self.objective(rollout, observations[:, :, :3], phase.pretraining, known)
        return StepResult(loss, UsedActions.of(rollout))

"""What a model of playable video is to everything outside of this folder: `build_model` of `model.build` makes one.

Dimensions: B batch, T observations in a sequence, S stacked frames in an observation, K actions, D action-space
dimension, F state features, H hidden size, h x w state resolution.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.action import InferredActions
from model.noise import Noise
from model.rendering import Frames

ActionSampler = Callable[[InferredActions], Tensor]
"""Chooses the action weights (B, T-1, K) of a rollout from what was inferred."""

RecurrentState = Any
"""What a model remembers of B games: a value of its own that nobody changes, so that it can be kept and returned to."""

Prepared = Any
"""What the steps of a model have in common as long as its weights stay as they are."""


@dataclass(frozen=True)
class Rollout:
    """Everything that one pass over a batch of sequences computes.

    R frames are reconstructed: T-1 in the full pass (all but the first), T in the pretraining pass.
    """

    states: Tensor  # (B, T, F, h, w) of the true observations
    attention: Tensor  # (B, T, 1, h, w) in [0, 1]
    inferred_actions: InferredActions  # from the true states
    actions: Tensor  # (B, T-1, K) action weights that drove the dynamics
    variations: Tensor  # (B, T-1, D)
    hidden_states: Tensor  # (B, T-1, H, h, w) from the dynamics network
    frames: Frames  # (B, R, ...)
    reconstructed_states: Tensor  # (B, T, F, h, w): in the full pass true ones while these drive the dynamics
    reconstructed_attention: Tensor  # (B, T, 1, h, w)
    reconstructed_actions: InferredActions  # from the reconstructed states
    encoded_hidden_states: Tensor | None  # (B, T, H, h, w) from state-to-hidden; pretraining pass only


@dataclass(frozen=True)
class ImaginedStep:
    """What one step of play makes of an observation and an action."""

    frame: Tensor  # (B, 3, height, width) in [-1, 1]
    observation: Tensor  # (B, 3S, height, width): the new frame on top of the previous observation
    state: RecurrentState


def most_probable_actions(inferred: InferredActions) -> Tensor:
    """The action sampler of evaluation: one-hot of the most probable action, (B, T-1, K)."""
    logits = inferred.logits
    return functional.one_hot(inferred.most_probable, logits.shape[-1]).to(logits.dtype)


def given_actions(weights: Tensor) -> ActionSampler:
    """An action sampler that takes given weights (B, T-1, K), whatever was inferred."""
    return lambda _: weights


def true_actions(actions: Tensor, actions_count: int) -> ActionSampler:
    """An action sampler that takes the true actions (B, T) of a data set, each in 0 to K - 1, as one-hot weights."""
    return given_actions(functional.one_hot(actions[:, :-1], actions_count).to(torch.float32))


class PlayableModel(nn.Module, ABC):
    """Learns discrete actions from sequences of observations, and imagines what follows an action.

    Attributes:
        stack_shape: (S, height, width, 3), the shape of the frames of an observation.
        gives_log_probabilities: whether the frames of a rollout come with them, as the cross-entropy needs it.
    """

    stack_shape: tuple[int, int, int, int]
    gives_log_probabilities: bool = False

    @property
    @abstractmethod
    def centroids(self) -> Tensor:
        """Where each action lies in the action space, (K, D)."""

    @property
    def actions_count(self) -> int:
        """K."""
        return self.centroids.shape[0]

    @property
    def action_space_dimension(self) -> int:
        """D."""
        return self.centroids.shape[1]

    @abstractmethod
    def forward(
        self,
        observations: Tensor,
        ground_truth_observations: int,
        temperature: float = 1.0,
        pretraining: bool = False,
        action_sampler: ActionSampler | None = None,
        zero_variations: bool = False,
        noise: Noise | None = None,
    ) -> Rollout:
        """Reconstruct sequences from their first observations and the actions inferred between all of them.

        In training mode the centroids are updated before they are used.

        Args:
            observations: (B, T, 3S, height, width) in [-1, 1], the newest frame of a stack first.
            ground_truth_observations: how many true observations drive the dynamics before generated ones do (at least
                1). The pretraining pass uses true ones throughout.
            temperature: of the Gumbel-Softmax.
            pretraining: the pass that training begins with.
            action_sampler: replaces the Gumbel-Softmax choice of actions.
            zero_variations: use no variations, as play does.
            noise: all of it comes from here, by default from the global source.
        """

    @abstractmethod
    def infer_actions(self, observations: Tensor, noise: Noise) -> InferredActions:
        """The actions between consecutive observations (B, T, 3S, height, width), as `forward` infers them.

        With the same noise they are the same as a rollout's `inferred_actions`. Logits are those of sampled
        directions; `model.noise.NoNoise` makes them those of the mean directions. Where several networks could infer
        the actions, the noise chooses one.
        """

    @abstractmethod
    def initial_state(self, batch_size: int) -> RecurrentState:
        """What is remembered before the first step."""

    @abstractmethod
    def prepare(self) -> Prepared:
        """What `step` would compute each time, to be computed once by those who take many steps.

        It is of the weights as they are now; whoever changes them needs another.
        """

    @abstractmethod
    def step(
        self,
        state: RecurrentState,
        observation: Tensor,
        action: Tensor,
        variation: Tensor,
        prepared: Prepared | None = None,
    ) -> ImaginedStep:
        """Imagine what follows an observation when an action is taken.

        Args:
            state: what is remembered, `initial_state` before the first step.
            observation: (B, 3S, height, width) in [-1, 1], newest frame first.
            action: (B, K) one-hot.
            variation: (B, D), zero in ordinary play.
            prepared: this model's `prepare()`, by default made anew.
        """

    @abstractmethod
    def compilable_networks(self) -> list[nn.Module]:
        """The parts that are worth compiling, each by itself and in place: without noise and loops over time."""

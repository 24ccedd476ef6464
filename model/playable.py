"""Interface of playable video models, the only one used outside of this folder; `model.build` makes them.

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
"""Chooses the action weights (B, T-1, K) of a rollout from the inferred actions."""

RecurrentState = Any
"""A model's recurrent state for B games: an immutable value, so that it can be stored and returned to."""

Prepared = Any
"""Values computed from a model's weights that all steps share, valid until the weights change."""


@dataclass(frozen=True)
class Rollout:
    """Results of one pass over a batch of sequences.

    R frames are reconstructed: T-1 in the full pass (all but the first), T in the pretraining pass.
    """

    states: Tensor  # (B, T, F, h, w) of the true observations
    attention: Tensor  # (B, T, 1, h, w) in [0, 1]
    inferred_actions: InferredActions  # from the true states
    actions: Tensor  # (B, T-1, K) action weights that drove the dynamics
    variations: Tensor  # (B, T-1, D)
    hidden_states: Tensor  # (B, T-1, H, h, w) from the dynamics network
    frames: Frames  # (B, R, ...)
    reconstructed_states: Tensor  # (B, T, F, h, w); in the full pass the true ones as long as these drive the dynamics
    reconstructed_attention: Tensor  # (B, T, 1, h, w)
    reconstructed_actions: InferredActions  # from the reconstructed states
    encoded_hidden_states: Tensor | None  # (B, T, H, h, w) from state-to-hidden; pretraining pass only
    prior_logits: Tensor | None = None  # (B, T-1, K) of the action prior; in training alone


@dataclass(frozen=True)
class ImaginedStep:
    """Result of one step of play."""

    frame: Tensor  # (B, 3, height, width) in [-1, 1]
    observation: Tensor  # (B, 3S, height, width): the new frame on top of the previous observation
    state: RecurrentState


def most_probable_actions(inferred: InferredActions) -> Tensor:
    """Action sampler of evaluation: one-hot weights (B, T-1, K) of the most probable action."""
    logits = inferred.logits
    return functional.one_hot(inferred.most_probable, logits.shape[-1]).to(logits.dtype)


def given_actions(weights: Tensor) -> ActionSampler:
    """Create an action sampler that returns given weights (B, T-1, K), whatever was inferred."""
    return lambda _: weights


def true_actions(actions: Tensor, actions_count: int) -> ActionSampler:
    """Create an action sampler that returns true actions (B, T) of a data set, in 0 to K - 1, as one-hot weights."""
    return given_actions(functional.one_hot(actions[:, :-1], actions_count).to(torch.float32))


class PlayableModel(nn.Module, ABC):
    """Model that learns discrete actions from observation sequences and predicts what follows an action.

    Attributes:
        stack_shape: (S, height, width, 3), the shape of the frames of an observation.
        gives_log_probabilities: whether the frames of a rollout have log-probabilities, which the cross-entropy needs.
        keeps_pixels: whether they have the share of each pixel that is painted, which the painting term needs.
        has_action_prior: whether rollouts in training have the logits of an action prior.
    """

    stack_shape: tuple[int, int, int, int]
    gives_log_probabilities: bool = False
    keeps_pixels: bool = False
    has_action_prior: bool = False

    @property
    @abstractmethod
    def centroids(self) -> Tensor:
        """Centroid of each action in the action space, (K, D)."""

    @property
    def actions_count(self) -> int:
        """Number of actions K."""
        return self.centroids.shape[0]

    @property
    def action_space_dimension(self) -> int:
        """Dimension D of the action space."""
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
            temperature: temperature of the Gumbel-Softmax.
            pretraining: whether to run the pretraining pass in place of the full pass.
            action_sampler: replaces the Gumbel-Softmax choice of actions.
            zero_variations: whether to set the variations to zero, as in play.
            noise: source of all randomness, global by default.
        """

    @abstractmethod
    def infer_actions(self, observations: Tensor, noise: Noise) -> InferredActions:
        """Infer the actions between consecutive observations (B, T, 3S, height, width), as `forward` does.

        With the same noise they equal a rollout's `inferred_actions`. The logits are those of sampled directions, or of
        the mean directions with `model.noise.NoNoise`. The noise also chooses the network of an ensemble.
        """

    @abstractmethod
    def initial_state(self, batch_size: int) -> RecurrentState:
        """Return the recurrent state before the first step."""

    @abstractmethod
    def prepare(self) -> Prepared:
        """Precompute what `step` would otherwise compute each time, for callers that take many steps.

        The result is valid until the weights change.
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
        """Predict the frame that follows an observation when an action is taken.

        Args:
            state: recurrent state, `initial_state` before the first step.
            observation: (B, 3S, height, width) in [-1, 1], newest frame first.
            action: (B, K) one-hot.
            variation: (B, D), zero in ordinary play.
            prepared: this model's `prepare()`, computed if None.
        """

    @abstractmethod
    def compilable_networks(self) -> list[nn.Module]:
        """Return the submodules worth compiling, each in place: those without noise and loops over time."""

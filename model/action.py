"""Action network A: infers a distribution over discrete actions from consecutive states.

Dimensions: N observations, B batch, T observations in a sequence, K actions, D action-space dimension.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.layers.residual_block import ResidualBlock
from model.noise import Noise
from utils.model_configuration import ActionNetworkConfiguration


@dataclass(frozen=True)
class Gaussian:
    """Normal distribution with diagonal covariance."""

    mean: Tensor  # (..., D)
    variance: Tensor  # (..., D), non-negative

    def sample(self, noise: Noise | None = None) -> Tensor:
        """Draw a differentiable sample (..., D): mean + sqrt(variance) * N(0, I), by default with global randomness."""
        return self.mean + self.variance.sqrt() * (noise or Noise()).normal_like(self.mean)

    def detach(self) -> "Gaussian":
        """Return the same distribution, detached from the computation graph."""
        return Gaussian(self.mean.detach(), self.variance.detach())


@dataclass(frozen=True)
class InferredActions:
    """Outputs of the action network for a batch of state sequences."""

    action_states: Gaussian  # (B, T, D), one per observation
    sampled_action_states: Tensor  # (B, T, D)
    directions: Gaussian  # (B, T-1, D), one per pair of consecutive observations
    sampled_directions: Tensor  # (B, T-1, D)
    logits: Tensor  # (B, T-1, K)

    @property
    def log_probabilities(self) -> Tensor:
        """Log-probabilities of the actions, (B, T-1, K)."""
        return torch.log_softmax(self.logits, dim=-1)

    @property
    def probabilities(self) -> Tensor:
        """Probabilities of the actions, (B, T-1, K)."""
        return torch.softmax(self.logits, dim=-1)

    @property
    def most_probable(self) -> Tensor:
        """Index of the most probable action, 0 to K - 1, (B, T-1)."""
        return self.logits.argmax(dim=-1)


class ActionNetwork(nn.Module):
    """Action network A of the paper, section 3.2 (docs/method.md#action-network)."""

    region: Tensor | None  # (h, w)

    def __init__(
        self,
        config: ActionNetworkConfiguration,
        state_features: int,
        actions_count: int,
        region: Tensor | None = None,
    ) -> None:
        """Create the network.

        Args:
            config: its section of the configuration.
            state_features: channels F of a state.
            actions_count: number of actions K.
            region: factors (h, w) of the attention, 0 to 1, where only a part of the frame is played.
        """
        super().__init__()
        self.register_buffer("region", region, persistent=False)
        dimension = config.action_space_dimension
        self.residuals = nn.Sequential(
            ResidualBlock(state_features, 2 * state_features, downscale=2),
            ResidualBlock(2 * state_features, 2 * state_features),
        )
        self.mean_fc = nn.Linear(2 * state_features, dimension)
        self.variance_fc = nn.Linear(2 * state_features, dimension)
        self.final_fc = nn.Linear(dimension, actions_count)
        if config.initial_direction_variance is not None:
            nn.init.zeros_(self.variance_fc.weight)
            nn.init.constant_(self.variance_fc.bias, config.initial_direction_variance)
        self.variance_fc.requires_grad_(not config.fixed_variance)
        if config.initial_classifier_spread is not None:
            _lay_out_classifier(self.final_fc, config.initial_classifier_spread, _initial_points(config, actions_count))
        self.final_fc.requires_grad_(not config.fixed_classifier)

    def forward(self, states: Tensor, attention: Tensor, noise: Noise | None = None) -> InferredActions:
        """Infer the actions between consecutive observations.

        Args:
            states: (B, T, F, h, w).
            attention: (B, T, 1, h, w) in [0, 1].
            noise: randomness of the samples, global by default.
        """
        if self.region is not None:
            attention = attention * self.region
        features = self._features(states * attention)
        with torch.autocast(features.device.type, enabled=False):
            return self._infer(features.to(self.mean_fc.weight.dtype), noise)

    def _infer(self, features: Tensor, noise: Noise | None) -> InferredActions:
        """Infer the actions from features (B, T, 2F), in full precision since small differences matter."""
        action_states = Gaussian(self.mean_fc(features), self.variance_fc(features).abs())
        directions = Gaussian(
            action_states.mean[:, 1:] - action_states.mean[:, :-1],
            action_states.variance[:, 1:] + action_states.variance[:, :-1],
        )
        sampled_directions = directions.sample(noise)
        return InferredActions(
            action_states=action_states,
            sampled_action_states=action_states.sample(noise),
            directions=directions,
            sampled_directions=sampled_directions,
            logits=self.final_fc(sampled_directions),
        )

    def _features(self, states: Tensor) -> Tensor:
        """Compute pooled features (B, T, 2F) of states (B, T, F, h, w)."""
        time_major = states.transpose(0, 1)
        pooled = self.residuals(time_major.flatten(0, 1)).mean(dim=(2, 3))
        return pooled.unflatten(0, time_major.shape[:2]).transpose(0, 1)


def _initial_points(config: ActionNetworkConfiguration, actions_count: int) -> Tensor:
    """Return the point (K, D) of the action space around which each action begins.

    The first axis of the action space is turned by an angle to the second. `line` spaces the points evenly along it, in
    [-1, 1]; `ring` puts the first one at zero and the others evenly on the unit circle, beginning with that axis.
    """
    angle = math.radians(config.initial_classifier_angle)
    if config.initial_classifier_layout == "line":
        radii, angles = torch.linspace(-1, 1, actions_count), torch.full((actions_count,), angle)
    else:
        radii = torch.cat([torch.zeros(1), torch.ones(actions_count - 1)])
        angles = angle + 2 * math.pi / (actions_count - 1) * torch.arange(-1, actions_count - 1)
    points = torch.zeros(actions_count, config.action_space_dimension)
    points[:, 0] = radii * angles.cos()
    if config.action_space_dimension > 1:
        points[:, 1] = radii * angles.sin()
    return points


def _lay_out_classifier(classifier: nn.Linear, spread: float, points: Tensor) -> None:
    """Initialise the classifier so that action k is most probable near its point p_k.

    Its logit at x is spread * (2 p_k x - |p_k|^2), which falls with the squared distance of p_k to x.
    """
    with torch.no_grad():
        classifier.weight.copy_(2 * spread * points)
        classifier.bias.copy_(-spread * points.square().sum(dim=-1))

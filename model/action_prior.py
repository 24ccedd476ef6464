"""Action prior: which actions occur in a state, so that the others are trained too (docs/method.md#departures).

Pressing on at a wall looks like staying, so that no inferred action is ever that press, and what it does is never
trained. Where the prior of an action is nearly zero, the action is trained to do what the nearest one does that occurs.

Dimensions: B batch, T observations in a sequence, K actions, F state features, h x w state resolution.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.activation import activate
from model.layers.convolution import conv3x3
from model.noise import Noise

UNSEEN = 0.05
"""Prior below which an action counts as one that does not occur."""

SHARE_REPLACED = 0.5
"""Share of the steps with the nearest action in which an action that does not occur takes its place."""


class ActionPrior(nn.Module):
    """Predicts the action that will be inferred from the state before it alone.

    The states are detached: the prior changes nothing but itself.
    """

    def __init__(self, state_features: int, resolution: tuple[int, int], actions_count: int) -> None:
        """Create the network with random weights, for states (F, h, w) of `state_features` and `resolution`."""
        super().__init__()
        height, width = resolution
        self.conv = conv3x3(state_features, state_features, bias=True)
        self.linear = nn.Linear(state_features * height * width, actions_count)

    def forward(self, states: Tensor) -> Tensor:
        """Return the logits (B, T-1, K) of the actions after the first T-1 of states (B, T, F, h, w)."""
        before = states[:, :-1].detach()
        features = activate(self.conv(before.flatten(0, 1))).flatten(1)
        logits: Tensor = self.linear(features)
        return logits.to(self.linear.weight.dtype).unflatten(0, before.shape[:2])


def with_unseen(actions: Tensor, prior: Tensor, centroids: Tensor, noise: Noise) -> Tensor:
    """Replace actions, in half of the steps, by ones that do not occur in the state and to which they are nearest.

    Args:
        actions: weights (B, T-1, K).
        prior: logits (B, T-1, K) of the actions in these states.
        centroids: (K, D) of the actions in the action space.
        noise: chooses the steps, and one of several actions.
    """
    is_unseen = prior.softmax(dim=-1) < UNSEEN
    distances = torch.cdist(centroids, centroids).masked_fill(is_unseen[..., None, :], torch.inf)
    nearest = distances.argmin(dim=-1)
    replaces = is_unseen & (nearest == actions.argmax(dim=-1, keepdim=True))
    times = noise.exponential_like(prior) / replaces
    is_replaced = replaces.any(dim=-1, keepdim=True) & (
        (-noise.exponential_like(prior[..., :1])).exp() < SHARE_REPLACED
    )
    chosen = functional.one_hot(times.argmin(dim=-1), actions.shape[-1]).to(actions.dtype)
    return torch.where(is_replaced, chosen, actions)

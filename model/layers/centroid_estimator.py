"""Moving averages of the centroid of each action in the action space.

Dimensions: B batch, T steps, K actions, D action-space dimension.
"""

import torch
from torch import Tensor, nn

from utils import ranks


class CentroidEstimator(nn.Module):
    """One centroid per action, updated by moving average and never by gradient (docs/method.md#centroids)."""

    estimated_centroids: Tensor  # (K, D)

    def __init__(self, actions_count: int, action_space_dimension: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("estimated_centroids", torch.randn(actions_count, action_space_dimension))

    @torch.no_grad()
    def update(self, direction_means: Tensor, probabilities: Tensor) -> None:
        """Move each centroid towards the probability-weighted mean direction of its action, over all ranks.

        Args:
            direction_means: (B, T, D).
            probabilities: (B, T, K) probability of each action at each step.
        """
        weights = probabilities.flatten(0, 1)
        total = ranks.total(weights.sum(dim=0)).clamp_min(torch.finfo(weights.dtype).tiny)
        means = ranks.total(weights.T @ direction_means.flatten(0, 1)) / total.unsqueeze(1)
        self.estimated_centroids.lerp_(means, self.alpha)

    def variations(self, directions: Tensor, actions: Tensor) -> Tensor:
        """Compute the action variations, the offsets from the centroids: sum_k a_k (direction - centroid_k).

        Args:
            directions: (B, T, D) sampled action directions.
            actions: (B, T, K) weights of the actions taken, summing to 1.

        Returns:
            (B, T, D).
        """
        return actions.sum(dim=-1, keepdim=True) * directions - actions @ self.estimated_centroids

"""Batch normalisation for recurrent networks.

Dimensions: N images, C channels, H x W pixels.
"""

import torch
from torch import Tensor

from model.layers.batch_norm import BatchNorm2d


class StepBatchNorm2d(BatchNorm2d):
    """Batch normalisation whose first steps may have their own running statistics.

    In training mode each step is normalised by its own batch, as published. In evaluation mode the published network
    has one running mean and variance for all steps, though the first steps, near the learned initial state, are unlike
    the others. With `num_first_steps` these have their own (Cooijmans et al., Recurrent Batch Normalization, 2017).
    """

    first_running_means: Tensor  # (num_first_steps, C)
    first_running_vars: Tensor  # (num_first_steps, C)

    def __init__(self, num_features: int, num_first_steps: int = 0) -> None:
        super().__init__(num_features)
        self.num_first_steps = num_first_steps
        if num_first_steps:
            self.register_buffer("first_running_means", torch.zeros(num_first_steps, num_features))
            self.register_buffer("first_running_vars", torch.ones(num_first_steps, num_features))

    def forward(self, x: Tensor, step: int = 0) -> Tensor:
        """Normalise maps (N, C, H, W) at a step, counted from 0."""
        if step >= self.num_first_steps:
            return super().forward(x)
        return self.normalize(x, self.first_running_means[step], self.first_running_vars[step])

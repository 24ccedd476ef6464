"""Batch normalisation for ranks that share a batch, steps that are computed together and passes that are repeated.

Dimensions: N images, C channels, H x W pixels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from utils import ranks


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` with three additions. It does not count batches, which only a variable momentum needs.

    `synchronized` makes the statistics those of all ranks' images, as `torch.nn.SyncBatchNorm` does on GPUs alone.
    Otherwise each rank normalises by its own images, as the published training does on its GPUs.

    While `recomputing`, running statistics stay as they are. Steps that are `joined` are normalised each by its own
    maps, in their order, which running statistics follow. Both hold for all normalisations of the process.
    """

    synchronized = False
    is_recomputing: ClassVar[bool] = False
    num_joined: ClassVar[int] = 1

    @classmethod
    @contextmanager
    def recomputing(cls) -> Iterator[None]:
        """Within this block all passes repeat earlier ones."""
        BatchNorm2d.is_recomputing = True
        try:
            yield
        finally:
            BatchNorm2d.is_recomputing = False

    @classmethod
    @contextmanager
    def joined(cls, num_steps: int) -> Iterator[None]:
        """Within this block maps are those of several steps, (num_steps * N, C, H, W), one step after the other."""
        BatchNorm2d.num_joined = num_steps
        try:
            yield
        finally:
            BatchNorm2d.num_joined = 1

    def forward(self, x: Tensor) -> Tensor:
        """Normalise maps (N, C, H, W)."""
        assert self.running_mean is not None
        assert self.running_var is not None
        return self.normalize(x, self.running_mean, self.running_var)

    def normalize(self, x: Tensor, running_mean: Tensor, running_var: Tensor) -> Tensor:
        """Normalise maps (N, C, H, W), with running statistics (C,) that follow in training mode."""
        if not self.training:
            return functional.batch_norm(x, running_mean, running_var, self.weight, self.bias, eps=self.eps)
        if self.num_joined == 1:
            return self._normalize_step(x, running_mean, running_var)
        return torch.cat([self._normalize_step(step, running_mean, running_var) for step in x.chunk(self.num_joined)])

    def _normalize_step(self, x: Tensor, running_mean: Tensor, running_var: Tensor) -> Tensor:
        """Normalise maps by their own statistics, which the running ones follow."""
        if self.synchronized and ranks.num_ranks() > 1:
            return self._normalize_over_ranks(x, running_mean, running_var)
        momentum = 0.0 if self.is_recomputing else self.momentum or 0.0
        return functional.batch_norm(x, running_mean, running_var, self.weight, self.bias, True, momentum, self.eps)

    def _normalize_over_ranks(self, x: Tensor, running_mean: Tensor, running_var: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)
        mean = ranks.mean(x.mean(dim=(0, 2, 3)))
        centred = x - mean[:, None, None]
        variance = ranks.mean(centred.square().mean(dim=(0, 2, 3)))
        if not self.is_recomputing:
            with torch.no_grad():
                count = ranks.num_ranks() * x.numel() / x.shape[1]
                momentum = self.momentum or 0.0
                running_mean.lerp_(mean, momentum)
                running_var.lerp_(variance * count / (count - 1), momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]


def synchronize_batch_norms(model: nn.Module) -> None:
    """Let all batch normalisations of a model use the statistics of all ranks' images."""
    for norm in _batch_norms(model):
        norm.synchronized = True


def set_momentum(model: nn.Module, momentum: float) -> None:
    """Set the share of the newest pass in the running statistics of all batch normalisations of a model."""
    for norm in _batch_norms(model):
        norm.momentum = momentum


def _batch_norms(model: nn.Module) -> Iterator[BatchNorm2d]:
    return (norm for norm in model.modules() if isinstance(norm, BatchNorm2d))

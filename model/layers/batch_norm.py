"""Batch normalisation with optional synchronisation over ranks and support for recomputed passes.

Dimensions: N images, C channels, H x W pixels.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from utils import ranks


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` with two additions.

    It does not count batches, which only a variable momentum needs.

    Attributes:
        is_synchronized: whether the statistics are those of all ranks' images, as in `torch.nn.SyncBatchNorm`, which
            needs GPUs. Otherwise each rank normalises by its own images, as the published training does on its GPUs.
        is_repeating: whether passes recompute earlier ones, so that running statistics are not updated.
    """

    is_synchronized = False
    is_repeating = False

    def forward(self, x: Tensor) -> Tensor:
        """Normalise maps (N, C, H, W)."""
        assert self.running_mean is not None
        assert self.running_var is not None
        return self.normalize(x, self.running_mean, self.running_var)

    def normalize(self, x: Tensor, running_mean: Tensor, running_var: Tensor) -> Tensor:
        """Normalise maps (N, C, H, W), with running statistics (C,) that are updated in training mode."""
        if not self.training:
            return functional.batch_norm(x, running_mean, running_var, self.weight, self.bias, eps=self.eps)
        if self.is_synchronized and ranks.num_ranks() > 1:
            return self._normalize_over_ranks(x, running_mean, running_var)
        momentum = 0.0 if self.is_repeating else self.momentum or 0.0
        return functional.batch_norm(x, running_mean, running_var, self.weight, self.bias, True, momentum, self.eps)

    def _normalize_over_ranks(self, x: Tensor, running_mean: Tensor, running_var: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)
        mean = ranks.mean(x.mean(dim=(0, 2, 3)))
        centred = x - mean[:, None, None]
        variance = ranks.mean(centred.square().mean(dim=(0, 2, 3)))
        if not self.is_repeating:
            with torch.no_grad():
                count = ranks.num_ranks() * x.numel() / x.shape[1]
                momentum = self.momentum or 0.0
                running_mean.lerp_(mean, momentum)
                running_var.lerp_(variance * count / (count - 1), momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]


def synchronize_batch_norms(model: nn.Module) -> None:
    """Make all batch normalisations of a model use the statistics of all ranks' images."""
    for norm in _batch_norms(model):
        norm.is_synchronized = True


def set_momentum(model: nn.Module, momentum: float) -> None:
    """Set the momentum of all batch normalisations of a model: the newest batch's share in the running statistics."""
    for norm in _batch_norms(model):
        norm.momentum = momentum


@contextmanager
def repeating(model: nn.Module) -> Iterator[None]:
    """Keep a model's running statistics unchanged within this block, for passes that recompute earlier ones."""
    norms = list(_batch_norms(model))
    for norm in norms:
        norm.is_repeating = True
    try:
        yield
    finally:
        for norm in norms:
            norm.is_repeating = False


def _batch_norms(model: nn.Module) -> Iterator[BatchNorm2d]:
    return (norm for norm in model.modules() if isinstance(norm, BatchNorm2d))

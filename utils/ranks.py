"""Collective operations over the *ranks*: the processes that train one model, each with an equal share of every batch.

The ranks are those of PyTorch's process group. Without one there is a single rank, and all of this costs nothing.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Sum(torch.autograd.Function):
    """Differentiable sum over the ranks: all-reduce of values forward, and of gradients backward."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        summed = x.contiguous().clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(_ctx, gradient)


def rank() -> int:
    """Return the number of this rank, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def num_ranks() -> int:
    """Return the number of ranks."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this is rank 0, which writes files and prints messages."""
    return rank() == 0


def total(x: Tensor) -> Tensor:
    """Return the sum of x over the ranks, differentiable with respect to each rank's x; all have the same shape."""
    if num_ranks() == 1:
        return x
    result: Tensor = _Sum.apply(x)
    return result


def mean(x: Tensor) -> Tensor:
    """Return the mean of x over the ranks, differentiable with respect to each rank's x; all have the same shape."""
    return total(x) / num_ranks()


def any_rank(is_so: bool) -> bool:
    """Logical OR of `is_so` over the ranks, reduced on the CPU so that no GPU is synchronised."""
    if num_ranks() == 1:
        return is_so
    flag = torch.tensor(int(is_so))
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)


def wait_for_all() -> None:
    """Barrier: wait until every rank has called this."""
    if num_ranks() > 1:
        dist.barrier()


def gathered(value: Any) -> list[Any]:
    """Gather the values of all ranks, in rank order."""
    if num_ranks() == 1:
        return [value]
    values: list[Any] = [None] * num_ranks()
    dist.all_gather_object(values, value)
    return values


def take_from_main(tensors: list[Tensor]) -> None:
    """Broadcast rank 0's tensors in place to the same tensors on every rank."""
    if num_ranks() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)

"""The processes that train one model together: each is a *rank* with an equal share of every batch.

They are those of PyTorch's process group. Without one there is a single rank, and all of this costs nothing.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Sum(torch.autograd.Function):
    """Adds up over the ranks, the values and, on the way back, the gradients."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        summed = x.contiguous().clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(_ctx, gradient)


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def num_ranks() -> int:
    """Return how many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this is the process that writes files and talks to the user: rank 0."""
    return rank() == 0


def total(x: Tensor) -> Tensor:
    """Return the sum of all ranks' x, of one shape. Its gradient flows to all of them."""
    if num_ranks() == 1:
        return x
    result: Tensor = _Sum.apply(x)
    return result


def mean(x: Tensor) -> Tensor:
    """Return the mean of all ranks' x, of one shape. Its gradient flows to all of them."""
    return total(x) / num_ranks()


def any_rank(is_so: bool) -> bool:
    """Whether something is so for any rank. No device is waited for."""
    if num_ranks() == 1:
        return is_so
    flag = torch.tensor(int(is_so))
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)


def wait_for_all() -> None:
    """Return when every rank has come here."""
    if num_ranks() > 1:
        dist.barrier()


def gathered(value: Any) -> list[Any]:
    """Return the values of all ranks, in their order."""
    if num_ranks() == 1:
        return [value]
    values: list[Any] = [None] * num_ranks()
    dist.all_gather_object(values, value)
    return values


def take_from_main(tensors: list[Tensor]) -> None:
    """Overwrite tensors, the same ones on every rank, with those of rank 0."""
    if num_ranks() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)

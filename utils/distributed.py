"""Distributed training with `torchrun`, on the GPUs of one or several machines.

The rest of the project sees the processes only through `utils.ranks`.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from utils import ranks
from utils.command import UserError, one_line
from utils.device import select_device

LOST_RANK = re.compile("closed by peer|Connection reset|Connection closed|Broken pipe|NCCL|Socket", re.IGNORECASE)


def is_one_of_several() -> bool:
    """Whether `torchrun` started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def all_ranks(device_name: str) -> Iterator[torch.device]:
    """Join `torchrun`'s process group for the duration of the block; only rank 0 writes to stdout.

    Does nothing but select the device if `torchrun` did not start this process.

    Args:
        device_name: `auto`, `cpu`, `cuda` or `mps`; with several GPUs each rank takes its own.

    Yields:
        The device of this rank.

    Raises:
        UserError: the device is not available, or another rank has ended.
    """
    device = select_device(device_name)
    if not is_one_of_several():
        yield device
        return
    if device.type == "cuda":
        device = _own_gpu()
    try:
        _join("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        with open(os.devnull, "w") as nowhere, redirect_stdout(sys.stdout if ranks.is_main() else nowhere):
            yield device
    except RuntimeError as error:
        if not LOST_RANK.search(str(error)):
            raise
        raise UserError(f"rank {ranks.rank()} lost the others ({one_line(error)}); see which ended first") from error
    finally:
        if not sys.exc_info()[0]:
            dist.destroy_process_group()


def require_divisible(batch_size: int) -> None:
    """Check that a batch can be divided equally among the ranks.

    Raises:
        UserError: it cannot.
    """
    if batch_size % ranks.num_ranks():
        raise UserError(
            f"training.batching.batch_size: {batch_size} sequences cannot be shared by {ranks.num_ranks()} ranks "
            "equally; choose a multiple"
        )


def with_shared_gradients(module: nn.Module, device: torch.device) -> nn.Module:
    """Wrap a module so that gradients are averaged over all ranks; with a single rank, return it unchanged."""
    if ranks.num_ranks() == 1:
        return module
    return DistributedDataParallel(
        module,
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=True,  # the two phases use different layers
        gradient_as_bucket_view=True,
    )


def _join(backend: str) -> None:
    """Initialise the process group, under a new store prefix each time `torchrun` restarts the job.

    Otherwise ranks could find the addresses of ranks that have died.
    """
    store, rank, num_ranks = next(dist.rendezvous("env://"))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    dist.init_process_group(
        backend, store=dist.PrefixStore(f"attempt_{attempt}", store), rank=rank, world_size=num_ranks
    )


def _own_gpu() -> torch.device:
    index, num_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if index >= num_gpus:
        raise UserError(f"torchrun started more processes than the {num_gpus} GPUs here: lower --nproc_per_node")
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device

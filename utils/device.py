"""Which processor computes, and what to say when its memory does not suffice."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from utils.command import UserError, one_line


def select_device(name: str) -> torch.device:
    """The device of a `--device` argument; `auto` takes CUDA, else Apple's MPS, else the CPU.

    Raises:
        UserError: the device asked for is not there.
    """
    is_usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    usable = [device for device in is_usable if is_usable[device]]
    if name not in ("auto", *usable):
        raise UserError(f"--device {name}: no such device is usable here; use auto or {' or '.join(usable)}")
    return torch.device(usable[0] if name == "auto" else name)


def allow_tf32(is_allowed: bool) -> None:
    """Whether CUDA may round float32 numbers to 10 bits of mantissa before it multiplies them, which is faster."""
    torch.backends.cudnn.allow_tf32 = is_allowed
    torch.backends.cuda.matmul.allow_tf32 = is_allowed


@contextmanager
def explaining_lack_of_memory(device: torch.device) -> Iterator[None]:
    """Turn errors that mean too little memory into a `UserError` with a remedy. Others pass."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if "DataLoader worker" in str(error):
            remedy = (
                f"a process that reads data was ended ({one_line(error)}), mostly for want of memory: lower "
                "num_workers of the batching sections, or in Docker add --ipc=host"
            )
        elif isinstance(error, MemoryError) or re.search("out of memory|can't allocate memory", str(error)):
            remedy = f"{device} has too little memory: lower batch_size or observations_count of the batching sections"
        else:
            raise
        raise UserError(f"{remedy}, then run the same command again") from error

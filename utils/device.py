"""Selection of the compute device, and a readable error when its memory runs out."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from utils.command import UserError, one_line


def select_device(name: str) -> torch.device:
    """Return the device of a `--device` argument; `auto` takes CUDA, else Apple's MPS, else the CPU.

    Raises:
        UserError: the requested device is not available.
    """
    is_usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    usable = [device for device in is_usable if is_usable[device]]
    if name not in ("auto", *usable):
        raise UserError(f"--device {name}: no such device is usable here; use auto or {' or '.join(usable)}")
    return torch.device(usable[0] if name == "auto" else name)


def allow_tf32(is_allowed: bool) -> None:
    """Set whether CUDA may use TF32: faster, but float32 is rounded to 10 bits of mantissa before multiplication."""
    torch.backends.cudnn.allow_tf32 = is_allowed
    torch.backends.cuda.matmul.allow_tf32 = is_allowed


def flush_denormals() -> None:
    """Let the CPU round numbers next to zero, below 1e-38 in magnitude, to zero, where it can.

    Late in training, gradients are full of such numbers, which are a hundred times as slow to compute with. Threads
    inherit the setting from the one that starts them: call this before the first large computation.
    """
    torch.set_flush_denormal(True)


LESS_AT_A_TIME = "lower batch_size or observations_count of the batching sections"
"""What to do where training and evaluation lack memory."""
ANOTHER_DEVICE = "close other programs that use it, or choose --device cpu"
"""What to do where play does."""


@contextmanager
def explaining_lack_of_memory(device: torch.device, remedy: str = LESS_AT_A_TIME) -> Iterator[None]:
    """Turn out-of-memory errors into a `UserError` with a remedy; other errors pass unchanged."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if "DataLoader worker" in str(error):
            advice = (
                f"a process that reads data was ended ({one_line(error)}), mostly for want of memory: lower "
                "num_workers of the batching sections, or in Docker add --ipc=host"
            )
        elif isinstance(error, MemoryError) or re.search("out of memory|can't allocate memory", str(error)):
            advice = f"{device} has too little memory: {remedy}"
        else:
            raise
        raise UserError(f"{advice}, then run the same command again") from error

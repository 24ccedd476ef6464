"""Which processor computes."""

import torch

from utils.command import UserError


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

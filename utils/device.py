"""Which processor computes."""

import torch

from utils.command import UserError


def select_device(name: str) -> torch.device:
    """The device of a `--device` argument; `auto` takes CUDA, else Apple's MPS, else the CPU.

    Raises:
        UserError: the device asked for is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, is_available in available.items() if is_available)
    if not available[name]:
        present = ", ".join(device for device, is_available in available.items() if is_available)
        raise UserError(f"--device {name}: no such device is usable here; use auto or one of: {present}")
    return torch.device(name)

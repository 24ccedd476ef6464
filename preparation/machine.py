"""The machine that trains."""

import os
from dataclasses import dataclass

import torch

from utils.device import select_device


@dataclass(frozen=True)
class Machine:
    """The device that trains, and the number of CPU cores."""

    device: torch.device
    name: str
    """The name of the device in messages."""
    memory: int
    """Total memory of the device in bytes, free or not."""
    num_cores: int
    """Number of CPU cores."""


def find_machine(device_name: str) -> Machine:
    """Describe the device of a `--device` argument.

    Raises:
        UserError: there is no such device.
    """
    device = select_device(device_name)
    num_cores = os.cpu_count() or 1
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return Machine(device, properties.name, properties.total_memory, num_cores)
    if device.type == "mps":
        return Machine(device, "Apple GPU", torch.mps.recommended_max_memory(), num_cores)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(device, f"{num_cores} CPU core{'s' if num_cores > 1 else ''}", memory, num_cores)

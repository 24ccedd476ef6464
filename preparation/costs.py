"""Costs of training: memory, counted without computing anything; time, measured over a few steps; and disk space."""

import statistics

import torch

from model.build import build_model
from training.compilation import resolve_auto
from training.costs import step_costs, step_seconds
from utils.configuration import Configuration

WORKING_SPACE = 1.3
"""Factor for the workspace of convolutions and the allocator, over the tensors in use. On a CPU, a step of
`02_breakout` took 1.1 times their memory, and 1.6 times with recomputation, where little is in use."""

NUM_TIMED_STEPS = 3


def training_memory(config: Configuration, device: torch.device) -> int:
    """Return approximately how many bytes of memory training takes on a device."""
    return round(WORKING_SPACE * step_costs(resolve_auto(config, device)).peak_bytes)


def checkpoints_size(config: Configuration) -> int:
    """Return the bytes of disk space for the checkpoints of a complete training: weights and Adam's moments."""
    with torch.device("meta"):
        state = build_model(config).state_dict()
    num_kept = config.training.max_steps // config.training.save_freq + 1
    return num_kept * 3 * sum(weight.untyped_storage().nbytes() for weight in state.values())


def seconds_per_step(config: Configuration, device: torch.device) -> float:
    """Measure the seconds of a training step on this machine: the median of a few steps, not compiled."""
    uncompiled = config.model_copy(update={"training": config.training.model_copy(update={"compile": False})})
    return statistics.median(step_seconds(uncompiled, device, NUM_TIMED_STEPS))


def told_size(num_bytes: float) -> str:
    """Return a number of bytes as text, such as `1.2 GB`."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def told_duration(seconds: float) -> str:
    """Return a duration as text, such as `12 minutes`."""
    minutes = seconds / 60
    return f"{minutes / 60:.1f} hours" if minutes >= 90 else f"{max(1, round(minutes))} minutes"

"""What training costs: memory, followed without computing anything, and time, taken from a few steps.

B batch, T observations in a sequence, S stacked frames in an observation, H x W pixels.
"""

import itertools
import statistics
import time

import torch
from torch import Tensor

from model.caddy import Caddy
from model.perceptual import load_perceptual_network
from training.memory import peak_training_memory
from training.objective import Objective
from training.state import TrainingState
from training.step import Phase, TrainingStep
from utils.configuration import Configuration

WORKING_SPACE = 1.3
"""What convolutions and allocators take over the tensors in use. On a CPU a step of `02_breakout` took 1.1 times these,
and 1.8 times with recomputation, where little is in use."""

NUM_TIMED_STEPS = 3


def training_memory(config: Configuration) -> int:
    """Return about how many bytes training takes on its device."""
    return round(WORKING_SPACE * peak_training_memory(config))


def checkpoints_size(config: Configuration) -> int:
    """Return how many bytes the checkpoints of a whole training take on the disk: weights and Adam's moments."""
    with torch.device("meta"):
        state = Caddy(config).state_dict()
    num_kept = config.training.max_steps // config.training.save_freq + 1
    return num_kept * 3 * sum(weight.untyped_storage().nbytes() for weight in state.values())


def seconds_per_step(config: Configuration, device: torch.device) -> float:
    """Return how long a training step takes on this machine now: the median of a few, on noise, after a first one."""
    network = load_perceptual_network() if config.training.loss_weights.need_perceptual_network else None
    model = Caddy(config).to(device).train()
    objective = Objective(config, network).to(device)
    state, step = TrainingState(config, model, objective), TrainingStep(model, objective)
    phase = Phase(False, config.training.ground_truth_observations_end, config.training.gumbel_temperature_end)
    observations = _noise(config, device)
    moments = []
    for _ in range(NUM_TIMED_STEPS + 1):
        state.update(step(observations, phase).loss.total)
        if device.type != "cpu":
            torch.get_device_module(device).synchronize()
        moments.append(time.perf_counter())
    return statistics.median(after - before for before, after in itertools.pairwise(moments))


def _noise(config: Configuration, device: torch.device) -> Tensor:
    """Observations (B, T, 3S, H, W) in [-1, 1], in memory as `dataset.batching.Batch` lays them out."""
    batching = config.training.batching
    width, height = config.model.representation_network.target_input_size
    shape = (batching.observations_count, batching.batch_size, height, width, 3 * batching.observation_stacking)
    return (2 * torch.rand(shape, device=device) - 1).movedim(-1, 2).transpose(0, 1)

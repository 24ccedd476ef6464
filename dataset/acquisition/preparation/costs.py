"""What training costs: memory, counted without computing anything, and time, taken from a few steps.

B batch, T observations in a sequence, S stacked frames in an observation, H x W pixels.
"""

import itertools
import statistics
import time

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torchvision.models import vgg19

from model.caddy import Caddy
from model.perceptual import PerceptualNetwork, load_perceptual_network
from training.objective import Loss, Objective
from training.state import TrainingState
from utils.configuration import Configuration

COPIES_OF_WEIGHTS = 4
"""Weights, gradients, and Adam's two moments."""

PEAK_FACTOR = 1.6
"""The peak of memory over what is counted, for gradients and the working space of convolutions. For BAIR robot pushing
27 GB are counted, and the authors used 44."""

NUM_TIMED_STEPS = 3


def training_memory(config: Configuration) -> int:
    """Return about how many bytes training takes on its device: what a step keeps for the backward pass, and weights.

    Tensors are counted in a step that is traced without data, so that any machine can count for any other.
    """
    kept: dict[StorageWeakRef, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[StorageWeakRef(storage)] = storage.nbytes()
        return tensor

    with torch.device("meta"):
        model = Caddy(config).train()
        needs_network = config.training.loss_weights.need_perceptual_network
        objective = Objective(config, PerceptualNetwork(vgg19().state_dict()) if needs_network else None)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            _loss(config, model, objective, _noise(config, torch.device("meta")))
    weights = {
        StorageWeakRef(weight.untyped_storage()): weight.untyped_storage().nbytes()
        for weight in (*model.parameters(), *objective.parameters())
    }
    activations = sum(num_bytes for storage, num_bytes in kept.items() if storage not in weights)
    return round(PEAK_FACTOR * activations) + COPIES_OF_WEIGHTS * sum(weights.values())


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
    state = TrainingState(config, model, objective)
    observations = _noise(config, device)
    moments = []
    for _ in range(NUM_TIMED_STEPS + 1):
        state.update(_loss(config, model, objective, observations).total)
        if device.type != "cpu":
            torch.get_device_module(device).synchronize()
        moments.append(time.perf_counter())
    return statistics.median(after - before for before, after in itertools.pairwise(moments))


def _loss(config: Configuration, model: Caddy, objective: Objective, observations: Tensor) -> Loss:
    rollout = model(observations, config.training.ground_truth_observations_end)
    return objective(rollout, observations[:, :, :3], pretraining=False)


def _noise(config: Configuration, device: torch.device) -> Tensor:
    """Observations (B, T, 3S, H, W) in [-1, 1], in memory as `dataset.batching.Batch` lays them out."""
    batching = config.training.batching
    width, height = config.model.representation_network.target_input_size
    shape = (batching.observations_count, batching.batch_size, height, width, 3 * batching.observation_stacking)
    return (2 * torch.rand(shape, device=device) - 1).movedim(-1, 2).transpose(0, 1)

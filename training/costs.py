"""Memory, operations and time of a training step.

Memory and operations are counted on fake tensors, without computing anything, so that one machine can predict them for
another. `auto` in the configuration counts as float32, not compiled.
"""

import itertools
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import vgg19

from model.build import build_model
from model.perceptual import PerceptualNetwork
from training.compilation import compile_networks, resolve_auto
from training.objective import Objective
from training.state import TrainingState
from training.step import Phase, TrainingStep
from utils.configuration import Configuration

NUM_STEPS = 2


def peak_memory(config: Configuration) -> int:
    """Return the peak number of bytes in use during a step on the longest sequences.

    The workspace of convolutions, and what the allocator rounds up or leaves unused, are not included.
    """
    peak = _Peak()
    _take_steps(config, peak)
    return peak.num_bytes


def num_operations(config: Configuration) -> int:
    """Return the multiplications and additions of a step, including those of recomputation."""
    counter = FlopCounterMode(display=False)
    _take_steps(config, counter)
    return counter.get_total_flops() // NUM_STEPS


def num_moved_bytes(config: Configuration) -> int:
    """Return the bytes that the operations of a step read and write if none are fused."""
    traffic = _Traffic()
    _take_steps(config, traffic)
    return traffic.num_bytes // NUM_STEPS


def step_seconds(
    config: Configuration, device: torch.device, num_steps: int, batches: Iterable[Tensor] | None = None
) -> list[float]:
    """Measure the seconds of steps on a device, after a first step that is not counted.

    Args:
        config: the run's configuration.
        device: to compute on.
        num_steps: how many steps to time.
        batches: observations of `dataset.batching.Batch`, one more than `num_steps`; waiting for them is counted. None
            takes the same noise at every step.

    Returns:
        The seconds of each step.
    """
    config = resolve_auto(config, device)
    step = _build(config).to(device)
    if config.training.compile:
        compile_networks(step.model, step.objective, device)
    state = TrainingState(config, step.model, step.objective)
    if batches is None:
        batches = itertools.repeat(_observations(2 * torch.rand(_time_major(config), device=device) - 1))
    moments = []
    for observations in itertools.islice(batches, num_steps + 1):
        state.update(step(observations, _phase(config)).loss.total)
        if device.type != "cpu":
            torch.get_device_module(device).synchronize()
        moments.append(time.perf_counter())
    return [after - before for before, after in itertools.pairwise(moments)]


def random_perceptual_network() -> PerceptualNetwork:
    """Return the perceptual network with random weights, which costs what the trained one does and is no download."""
    return PerceptualNetwork(_random_vgg19_weights())


@cache
def _random_vgg19_weights() -> dict[str, Tensor]:
    """Return random weights of the features of VGG19, always the same: drawing them takes seconds."""
    weights: dict[str, Tensor] = vgg19().features.state_dict(prefix="features.")
    return weights


def _build(config: Configuration) -> TrainingStep:
    """Return a step in training mode, with random weights."""
    network = random_perceptual_network() if config.training.loss_weights.need_perceptual_network else None
    return TrainingStep(build_model(config).train(), Objective(config, network))


def _take_steps(config: Configuration, follower: AbstractContextManager[Any]) -> None:
    """Take steps on fake tensors while `follower` is active; from the second step on Adam has its moments."""
    step = _build(config)
    with FakeTensorMode() as mode, follower:
        _empty(step, mode)
        state = TrainingState(config, step.model, step.objective)
        for _ in range(NUM_STEPS):
            observations = _observations(torch.empty(_time_major(config)))
            state.update(step(observations, _phase(config)).loss.total)
            del observations


def _phase(config: Configuration) -> Phase:
    return Phase(False, config.training.ground_truth_observations_end, config.training.gumbel_temperature_end)


def _time_major(config: Configuration) -> tuple[int, ...]:
    """The shape (T, B, H, W, 3S) of observations in the layout of `dataset.batching.Batch`."""
    batching = config.training.batching
    width, height = config.model.representation_network.target_input_size
    return batching.observations_count, batching.batch_size, height, width, 3 * batching.observation_stacking


def _observations(time_major: Tensor) -> Tensor:
    """Observations (T, B, H, W, 3S) as (B, T, 3S, H, W)."""
    return time_major.movedim(-1, 2).transpose(0, 1)


def _empty(module: nn.Module, mode: FakeTensorMode) -> None:
    """Replace all weights and buffers by fake tensors of the same layout."""
    for part in module.modules():
        for name, weight in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(mode.from_tensor(weight), weight.requires_grad))
        for name, buffer in list(part.named_buffers(recurse=False)):
            setattr(part, name, mode.from_tensor(buffer))


class _Traffic(TorchDispatchMode):
    """Adds up the bytes that operations read and write; views count as none."""

    def __init__(self) -> None:
        super().__init__()
        self.num_bytes = 0

    def __torch_dispatch__(self, function: Any, _types: Sequence[type], args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if not function.is_view:
            tensors = (leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor))
            self.num_bytes += sum(min(tensor.nbytes, tensor.untyped_storage().nbytes()) for tensor in tensors)
        return result


class _Peak(TorchDispatchMode):
    """Tracks the bytes of all live storages and their maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.num_bytes = 0
        self._in_use = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, function: Callable[..., Any], _types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        num_bytes = storage.nbytes()
        weakref.finalize(storage, self._release, num_bytes)
        self._in_use += num_bytes
        self.num_bytes = max(self.num_bytes, self._in_use)

    def _release(self, num_bytes: int) -> None:
        self._in_use -= num_bytes

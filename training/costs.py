"""Memory, operations and time of a training step.

Memory and operations are counted on fake tensors, without computing anything, so that one machine can predict them for
another. `auto` in the configuration counts as float32, not compiled.
"""

import itertools
import time
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torchvision.models import vgg19

from model.build import build_model
from model.perceptual import PerceptualNetwork
from training.compilation import compile_networks, resolve_auto
from training.objective import Objective
from training.state import TrainingState
from training.step import Phase, TrainingStep
from utils.configuration import Configuration


@dataclass(frozen=True)
class StepCosts:
    """What a step takes on any machine."""

    peak_bytes: int
    """Peak of the memory in use on the longest sequences, without the workspace of convolutions and what the allocator
    rounds up or leaves unused."""
    operations: int
    """Multiplications and additions, including those of recomputation."""
    moved_bytes: int
    """What the operations read and write if none are fused."""


def step_costs(config: Configuration) -> StepCosts:
    """Count the costs of a step after one on two observations, which gives Adam its moments."""
    step, phase = _build(config), _phase(config)
    num_observations, *sizes = _time_major(config)
    with FakeTensorMode() as mode, _Counter() as counter:
        _empty(step, mode)
        state = TrainingState(config, step.model, step.objective)
        for length, num_true in ((2, 1), (num_observations, phase.ground_truth_observations)):
            counter.operations = counter.moved_bytes = 0
            observations = _observations(torch.empty(length, *sizes))
            state.update(step(observations, replace(phase, ground_truth_observations=num_true)).loss.total)
            del observations
    return StepCosts(counter.peak_bytes, counter.operations, counter.moved_bytes)


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


class _Counter(TorchDispatchMode):
    """Adds up operations and the bytes that they move, and tracks the bytes of all live storages.

    `FlopCounterMode` would keep alive what recomputation frees.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.moved_bytes = 0  # views move none
        self.peak_bytes = 0
        self._in_use = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, function: Any, _types: Sequence[type], args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        for tensor in made:
            self._note(tensor.untyped_storage())
        if not function.is_view:
            read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            self.moved_bytes += sum(min(tensor.nbytes, tensor.untyped_storage().nbytes()) for tensor in read + made)
        if count := flop_registry.get(function.overloadpacket):
            self.operations += count(*args, **kwargs, out_val=result)
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        num_bytes = storage.nbytes()
        weakref.finalize(storage, self._release, num_bytes)
        self._in_use += num_bytes
        self.peak_bytes = max(self.peak_bytes, self._in_use)

    def _release(self, num_bytes: int) -> None:
        self._in_use -= num_bytes

"""What a training step takes of a device's memory, followed without computing anything.

Tensors without contents take the place of real ones, so that any machine can tell for any other. What convolutions use
as working space, and what the allocator rounds up or leaves unused, comes on top.
"""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.models import vgg19

from model.caddy import Caddy
from model.perceptual import PerceptualNetwork
from training.objective import Objective
from training.state import TrainingState
from training.step import Phase, TrainingStep
from utils.configuration import Configuration


def peak_training_memory(config: Configuration) -> int:
    """Return the most bytes that are in use at any moment of the two steps that the longest sequences begin with.

    The second one finds Adam's moments in place.
    """
    batching = config.training.batching
    width, height = config.model.representation_network.target_input_size
    channels = 3 * batching.observation_stacking
    time_major = (batching.observations_count, batching.batch_size, height, width, channels)  # as `dataset.batching`'s
    network = None
    if config.training.loss_weights.need_perceptual_network:
        network = PerceptualNetwork(vgg19().state_dict())
    step = TrainingStep(Caddy(config).train(), Objective(config, network))
    with FakeTensorMode() as mode, _Peak() as peak:
        _empty(step, mode)
        state = TrainingState(config, step.model, step.objective)
        phase = Phase(False, config.training.ground_truth_observations_end, 1.0)
        for _ in range(2):
            observations = torch.empty(time_major).movedim(-1, 2).transpose(0, 1)
            state.update(step(observations, phase).loss.total)
            del observations
    return peak.num_bytes


def _empty(module: nn.Module, mode: FakeTensorMode) -> None:
    """Replace all weights and buffers by tensors of the same layout without contents."""
    for part in module.modules():
        for name, weight in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(mode.from_tensor(weight), weight.requires_grad))
        for name, buffer in list(part.named_buffers(recurse=False)):
            setattr(part, name, mode.from_tensor(buffer))


class _Peak(TorchDispatchMode):
    """Follows which storages are alive."""

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

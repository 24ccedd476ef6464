"""Stage: frames a second and latency in play, beside a plain transcription, with and without CUDA graphs."""

from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils import _pytree as pytree

from benchmarks import play
from benchmarks.gpu.environment import MINIATURE_MATRIX_SIDE
from benchmarks.gpu.setting import CONFIGURATIONS, Results, Setting, attempt
from model.playable import RecurrentState
from playing.simulator import Moment, Simulator
from utils.device import allow_tf32

NUM_STEPS = 40
NUM_WARM_UPS = 3
"""Steps before a graph is recorded, in which convolutions choose their algorithms."""


def measure(setting: Setting) -> Results:
    """Play every configuration; those without a checkpoint with random weights, which take as long."""
    if setting.rehearses:
        play.MATRIX_SIDE = MINIATURE_MATRIX_SIDE
        play.NUM_RUNS = 1
    device = torch.device(setting.device)
    allow_tf32(True)
    found: dict[str, Any] = {}

    num_steps = 2 if setting.rehearses else NUM_STEPS
    for name in CONFIGURATIONS:
        config = setting.configuration(name)
        with_graphs = attempt(partial(play.measure, config, device, num_steps, {"graphs": GraphedSimulator}))
        if "failed" in with_graphs:
            without = attempt(partial(play.measure, config, device, num_steps))
            with_graphs = without if "failed" in without else without | {"graphs": with_graphs}
        found[name] = with_graphs
        yield "configurations", found


@dataclass(frozen=True)
class _Recorded:
    """A step with a fixed place for everything that goes in and comes out."""

    inputs: tuple[Tensor, RecurrentState]
    """Observation and state before the step."""
    one_hot: Tensor
    outputs: tuple[Tensor, RecurrentState]
    """Observation and state after the step."""
    replay: Callable[[], object]


class GraphedSimulator:
    """A simulator that launches a step as one CUDA graph; without CUDA it computes the step anew in the same places."""

    def __init__(self, simulator: Simulator) -> None:
        """Play the model of another simulator; graphs are recorded on first use."""
        self._simulator = simulator
        self._device = simulator.centroids.device
        self._prepared = simulator.model.prepare()
        self._recorded: dict[tuple[Any, ...], _Recorded] = {}

    def start(self, stacks: np.ndarray) -> Moment:
        """Return the moment before the first action, as `Simulator.start`."""
        return self._simulator.start(stacks)

    @torch.inference_mode()
    def step(self, moment: Moment, actions: np.ndarray) -> Moment:
        """Return the moment after actions are taken, as `Simulator.step` without variations."""
        given = (moment.observation, moment.state)
        one_hot = functional.one_hot(torch.as_tensor(actions), self._simulator.actions_count).to(torch.float32)
        kind = tuple(leaf.shape if isinstance(leaf, Tensor) else leaf for leaf in _leaves(given))
        if kind not in self._recorded:
            self._recorded[kind] = self._record(given, one_hot.to(self._device))
        recorded = self._recorded[kind]
        _copy(given, recorded.inputs)
        recorded.one_hot.copy_(one_hot)
        recorded.replay()
        return Moment(*pytree.tree_map_only(Tensor, Tensor.clone, recorded.outputs))

    def _record(self, given: tuple[Tensor, RecurrentState], one_hot: Tensor) -> _Recorded:
        inputs = pytree.tree_map_only(Tensor, Tensor.clone, given)
        variation = torch.zeros(len(one_hot), self._simulator.action_space_dimension, device=self._device)

        def compute() -> tuple[Tensor, RecurrentState]:
            observation, state = inputs
            imagined = self._simulator.model.step(state, observation, one_hot, variation, self._prepared)
            return imagined.observation, imagined.state

        if self._device.type != "cuda":
            outputs = compute()
            return _Recorded(inputs, one_hot, outputs, lambda: _copy(compute(), outputs))
        side_stream = torch.cuda.Stream()
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(NUM_WARM_UPS):
                compute()
        torch.cuda.current_stream().wait_stream(side_stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = compute()
        return _Recorded(inputs, one_hot, outputs, graph.replay)


def _leaves(values: Any) -> list[Any]:
    """The tensors and numbers in nested values; dataclasses are made known to PyTorch as such on the way."""
    leaves = pytree.tree_leaves(values)
    unknown = {type(leaf) for leaf in leaves if is_dataclass(leaf)}
    for kind in unknown:
        pytree.register_dataclass(kind)
    return _leaves(values) if unknown else leaves


def _copy(values: Any, places: Any) -> None:
    """Copy the tensors in nested values to those at the same places of others."""
    for value, place in zip(_leaves(values), _leaves(places), strict=True):
        if isinstance(place, Tensor):
            place.copy_(value)

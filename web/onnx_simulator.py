"""A simulator of an exported step, with ONNX Runtime in place of PyTorch.

Dimensions: S stacked frames in an observation, K actions, D action-space dimension, H x W pixels.
"""

import numpy as np
import torch
from torch import Tensor

from model.dynamics import DynamicsState
from model.layers.conv_lstm import LSTMState
from playing.simulator import Moment, Simulator
from utils.images import normalize
from web.onnx_packages import onnxruntime
from web.onnx_step import ExportedStep


class OnnxSimulator:
    """Plays one game on the CPU, as `playing.simulator.Simulator` does."""

    def __init__(self, step: ExportedStep, num_threads: int = 1) -> None:
        """Load a step into a runtime with a number of threads."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        self._session = onnxruntime.InferenceSession(
            step.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._step = step
        shapes = {value.name: value.shape for value in self._session.get_inputs()}
        self._outputs = ["next_observation", *(f"next_{name}" for name in step.initial_state)]
        self._num_actions = shapes["action"][1]
        self._dimension = shapes["variation"][1] if step.uses_variations else 0

    def start(self, stacks: np.ndarray) -> Moment:
        """Return the moment before the first action, given uint8 frames (1, S, H, W, 3), oldest first."""
        observation = normalize(torch.from_numpy(stacks).flip(1).movedim(-1, 2).flatten(1, 2)).contiguous()
        return Moment(observation, _state([torch.from_numpy(state) for state in self._step.initial_state.values()], 0))

    def step(self, moment: Moment, actions: np.ndarray, variations: np.ndarray | None = None) -> Moment:
        """Return the moment after an action is taken.

        Args:
            moment: the state of the game.
            actions: (1,) an integer from 0 to K - 1.
            variations: (1, D) action variations, for a model that uses them; None for zeros.
        """
        states = [part for layer in moment.state.layers for part in layer]
        feeds = dict(zip(self._step.initial_state, (state.contiguous().numpy() for state in states), strict=True))
        feeds["observation"] = moment.observation.contiguous().numpy()
        feeds["action"] = np.eye(self._num_actions, dtype=np.float32)[actions]
        if self._step.uses_variations:
            feeds["variation"] = np.zeros((1, self._dimension)) if variations is None else variations
            feeds["variation"] = feeds["variation"].astype(np.float32)
        if self._step.counts_steps:
            feeds["step"] = np.array([moment.state.step])
        observation, *states = (torch.from_numpy(output) for output in self._session.run(self._outputs, feeds))
        return Moment(observation, _state(states, moment.state.step + 1))


def largest_difference(simulator: Simulator, other: OnnxSimulator, stacks: np.ndarray, actions: np.ndarray) -> float:
    """Return the largest difference of the frames of two simulators that play the same game, in [-1, 1].

    Args:
        simulator: plays with PyTorch, from its own frames.
        other: plays with ONNX Runtime, from its own frames.
        stacks: uint8 (1, S, H, W, 3) to start from.
        actions: (T,) from 0 to K - 1.
    """
    moment, other_moment = simulator.start(stacks), other.start(stacks)
    differences = []
    for action in actions[:, None]:
        moment, other_moment = simulator.step(moment, action), other.step(other_moment, action)
        differences.append((moment.observation - other_moment.observation)[:, :3].abs().max().item())
    return max(differences)


def _state(parts: list[Tensor], step: int) -> DynamicsState:
    """Return the recurrent state made of alternating hidden and cell maps."""
    return DynamicsState(tuple(LSTMState(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)), step)

"""How much a step of play computes, as exported here and as exported without thought.

An operation is a node that computes new values. Nodes that move, repeat, convert or name values are none, and neither
are those that compute with constants alone. An activation or addition that alone uses what a convolution gives belongs
to the convolution, since ONNX Runtime computes them in one pass.

Dimensions: S stacked frames in an observation, K actions, D action-space dimension, H x W pixels.
"""

import io
import math
import warnings
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.plain_model import plain_caddy
from model.caddy import Caddy
from model.dynamics import DynamicsState
from model.layers.conv_lstm import LSTMState
from model.layers.step_batch_norm import StepBatchNorm2d
from utils.configuration import Configuration
from web.onnx_packages import onnx

MOVES = {
    *("Cast", "Concat", "DepthToSpace", "Expand", "Gather", "Identity"),
    *("Pad", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
}
"""Operators that compute nothing."""

JOINS_CONVOLUTION = {"Add", "LeakyRelu", "Sigmoid", "Tanh"}


@dataclass(frozen=True)
class Cost:
    """What a step costs."""

    operations: int
    multiply_adds: int
    """Of all convolutions: one for each element of a kernel that meets an element of a map."""


def step_cost(model: onnx.ModelProto) -> Cost:
    """Count what an ONNX graph of convolutions computes."""
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = model.graph
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    } | {weight.name: list(weight.dims) for weight in graph.initializer}
    multiply_adds = sum(
        math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
        for node in graph.node
        if node.op_type == "Conv"
    )
    return Cost(len(_operations(graph)), multiply_adds)


def naive_cost(config: Configuration) -> Cost:
    """What the model of a configuration with a published architecture costs when its modules are exported as they are.

    They are those of `benchmarks.plain_model` in evaluation mode, with separate gates, norms and pools, attention and
    the frames of all resolutions. Statistics of the first steps are left out.
    """
    model = plain_caddy(config).eval().requires_grad_(False)
    num_actions, dimension = model.centroids.shape
    width, height = config.model.representation_network.target_input_size
    states = [part for layer in model.initial_state(1).layers for part in layer]
    observation = torch.zeros(1, model.representation_network.conv1.in_channels, height, width)
    arguments = (observation, torch.zeros(1, num_actions), torch.zeros(1, dimension), *states)
    return step_cost(_exported(_PlainStep(model), arguments))


class _PlainStep(nn.Module):
    """All that `Caddy` computes in a step."""

    def __init__(self, model: Caddy) -> None:
        super().__init__()
        self.model = model

    def forward(self, observation: Tensor, action: Tensor, variation: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Return the next observation, the recurrent state, and what play does not show."""
        dynamics = self.model.dynamics_network
        layers = tuple(LSTMState(*pair) for pair in zip(states[::2], states[1::2], strict=True))
        late = max(norm.num_first_steps for norm in dynamics.modules() if isinstance(norm, StepBatchNorm2d))
        encoding = self.model.representation_network(observation)
        hidden_state, memory = dynamics(
            encoding.states, action, variation, DynamicsState(layers, late), dynamics.fused_gates()
        )
        frames = self.model.rendering_network(hidden_state, observation)
        new_states = [part for layer in memory.layers for part in layer]
        shown = [resolution for _, resolution in frames.resolutions()]
        return (torch.cat([frames.full, observation[:, :-3]], dim=1), *new_states, *shown, encoding.attention)


def _exported(module: nn.Module, arguments: tuple[Tensor, ...]) -> onnx.ModelProto:
    """A module as it is, by PyTorch's exporter that traces: a second, where the newer one takes ten."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is the older one
        torch.onnx.export(
            module,
            arguments,
            file,  # type: ignore[arg-type]  # the older one takes it
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    return onnx.load_from_string(file.getvalue())


def _operations(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that count."""
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(output.name for output in graph.output)
    constant = {weight.name for weight in graph.initializer}
    of_convolutions: set[str] = set()
    counted = []
    for node in graph.node:
        if constant.issuperset(node.input):
            constant.update(node.output)
            continue
        joins = node.op_type in JOINS_CONVOLUTION and any(
            name in of_convolutions and uses[name] == 1 for name in node.input
        )
        if joins or node.op_type == "Conv":
            of_convolutions.update(node.output)
        if not joins and node.op_type not in MOVES and not _is_pool_of_one(node):
            counted.append(node)
    return counted


def _is_pool_of_one(node: onnx.NodeProto) -> bool:
    """Whether a node averages windows of a single value, which the plain blocks do where nothing is to be pooled."""
    window = next((attribute.ints for attribute in node.attribute if attribute.name == "kernel_shape"), ())
    return node.op_type == "AveragePool" and math.prod(window) == 1

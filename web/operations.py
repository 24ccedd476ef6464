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
from dataclasses import dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model.plain import plain_model
from model.playable import PlayableModel
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
    """What the model of a configuration costs when its modules are exported as they are.

    They are those of `model.plain` in evaluation mode, with separate gates, norms and pools, attention and
    all that a renderer shows when it is called.
    """
    model = plain_model(config).eval().requires_grad_(False)
    stacking, height, width, _ = model.stack_shape
    observation = torch.zeros(1, 3 * stacking, height, width)
    vectors = (torch.zeros(1, size) for size in (model.actions_count, model.action_space_dimension))
    return step_cost(_exported(_PlainStep(model), (observation, *vectors)))


class _PlainStep(nn.Module):
    """The first step of play, and all that its networks compute."""

    def __init__(self, model: PlayableModel) -> None:
        super().__init__()
        self.model = model
        self.results: list[Any] = []
        for network in model.compilable_networks():
            network.register_forward_hook(lambda _network, _arguments, result: self.results.append(result))

    def forward(self, observation: Tensor, action: Tensor, variation: Tensor) -> tuple[Tensor, ...]:
        """Return the next observation, the recurrent state, and what play does not show."""
        self.results.clear()
        imagined = self.model.step(self.model.initial_state(1), observation, action, variation)
        return (imagined.observation, *_tensors([imagined.state, self.results]))


def _tensors(value: Any) -> list[Tensor]:
    """All tensors in dataclasses, lists and tuples, each once."""
    if isinstance(value, Tensor):
        return [value]
    parts = vars(value).values() if is_dataclass(value) else value if isinstance(value, list | tuple) else ()
    return list(dict.fromkeys(tensor for part in parts for tensor in _tensors(part)))


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

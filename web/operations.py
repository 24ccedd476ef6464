"""Operation and multiply-add counts of the exported step and of an unoptimised export.

An operation is a node that computes new values. Nodes that move, repeat, convert or name values do not count, nor do
those that compute with constants alone. An activation or addition that is the only use of a convolution's result counts
as part of the convolution, since ONNX Runtime computes both in one pass.

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
    """The cost of a step."""

    operations: int
    multiply_adds: int
    """Multiply-adds of all convolutions: one for each pair of an element of a kernel and one of a map."""


def step_cost(model: onnx.ModelProto) -> Cost:
    """Count the operations and multiply-adds of an ONNX graph of convolutions."""
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
    """Return the cost of a step if the modules of a model are exported without optimisation.

    The modules are those of `model.plain` in evaluation mode, with separate gates, normalisations and poolings,
    attention, and all outputs of the renderer.
    """
    model = plain_model(config).eval().requires_grad_(False)
    stacking, height, width, _ = model.stack_shape
    observation = torch.zeros(1, 3 * stacking, height, width)
    vectors = (torch.zeros(1, size) for size in (model.actions_count, model.action_space_dimension))
    return step_cost(_exported(_PlainStep(model), (observation, *vectors)))


class _PlainStep(nn.Module):
    """The first step of play, with all results of its networks as outputs."""

    def __init__(self, model: PlayableModel) -> None:
        super().__init__()
        self.model = model
        self.results: list[Any] = []
        for network in model.compilable_networks():
            network.register_forward_hook(lambda _network, _arguments, result: self.results.append(result))

    def forward(self, observation: Tensor, action: Tensor, variation: Tensor) -> tuple[Tensor, ...]:
        """Return the next observation, the recurrent state, and all other results of the networks."""
        self.results.clear()
        imagined = self.model.step(self.model.initial_state(1), observation, action, variation)
        return (imagined.observation, *_tensors([imagined.state, self.results]))


def _tensors(value: Any) -> list[Tensor]:
    """Return all tensors in nested dataclasses, lists and tuples, each once."""
    if isinstance(value, Tensor):
        return [value]
    parts = vars(value).values() if is_dataclass(value) else value if isinstance(value, list | tuple) else ()
    return list(dict.fromkeys(tensor for part in parts for tensor in _tensors(part)))


def _exported(module: nn.Module, arguments: tuple[Tensor, ...]) -> onnx.ModelProto:
    """Export a module with PyTorch's tracing exporter, which takes a second instead of the newer one's ten."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter is deprecated
        torch.onnx.export(
            module,
            arguments,
            file,  # type: ignore[arg-type]  # the tracing exporter accepts it
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    return onnx.load_from_string(file.getvalue())


def _operations(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that count as operations."""
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
    """Return whether a node averages windows of a single value, as plain blocks without downscaling do."""
    window = next((attribute.ints for attribute in node.attribute if attribute.name == "kernel_shape"), ())
    return node.op_type == "AveragePool" and math.prod(window) == 1

"""What a step costs is counted by the documented rule."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from model.build import build_model
from model.caddy import Caddy
from tests.configurations import SEEING, small_configuration
from web.exporters import find_exporter
from web.onnx_graph import OnnxGraph
from web.onnx_step import export_step
from web.operations import Cost, naive_cost, step_cost

VARIANTS = {
    "plain": (),
    "first steps, four frames": (
        "model.dynamics_network.first_steps_statistics=3",
        "training.batching.observation_stacking=4",
        "evaluation.batching.observation_stacking=4",
    ),
}


def graph_with_convolution() -> tuple[OnnxGraph, str]:
    graph = OnnxGraph()
    x = graph.input("x", (1, 2, 4, 6))
    kernel = graph.weight("kernel", np.zeros((5, 2, 3, 3), np.float32))
    return graph, graph.add("Conv", x, kernel, pads=[1] * 4)


def cost(graph: OnnxGraph, output: str, channels: int = 5) -> Cost:
    graph.output(output, (1, channels, 4, 6))
    return step_cost(graph.model("test"))


def test_a_convolution_counts_with_what_directly_follows_it() -> None:
    graph, x = graph_with_convolution()
    x = graph.add("LeakyRelu", graph.add("Add", x, graph.constant(1)))
    assert cost(graph, x) == Cost(operations=1, multiply_adds=5 * 4 * 6 * 2 * 3 * 3)


def test_what_follows_a_norm_or_a_result_that_is_used_twice_counts() -> None:
    graph, x = graph_with_convolution()
    vector = graph.weight("vector", np.ones(5, np.float32))
    normalised = graph.add("BatchNormalization", x, *[vector] * 4)
    activated = graph.add("LeakyRelu", normalised)
    assert cost(graph, activated).operations == 3

    graph, x = graph_with_convolution()
    product = graph.add("Mul", graph.add("Tanh", x), graph.add("Sigmoid", x))
    assert cost(graph, product).operations == 4

    graph, x = graph_with_convolution()
    activated = graph.add("LeakyRelu", x)
    graph.output(x, (1, 5, 4, 6))
    assert cost(graph, activated).operations == 2


def test_moves_and_pools_of_one_value_do_not_count() -> None:
    graph, x = graph_with_convolution()
    one = helper.make_tensor("one", TensorProto.FLOAT, [], [1])
    x = graph.add("Concat", x, graph.add("Identity", x), axis=1)
    x = graph.add("AveragePool", x, kernel_shape=[1, 1])
    x = graph.add("Mul", x, graph.add("Constant", value=one))
    pooled = graph.add("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4)
    assert cost(graph, pooled, channels=10).operations == 3


def test_the_seeing_model_takes_half_the_operations_of_a_naive_export_too() -> None:
    config = small_configuration(*SEEING)
    exporter = find_exporter(config)
    ours = step_cost(exporter.export_step(build_model(config), False).model)
    assert 2 * ours.operations <= exporter.naive_cost(config).operations


@pytest.mark.parametrize("overrides", VARIANTS.values(), ids=VARIANTS)
def test_a_step_costs_at_most_half_the_operations_of_a_naive_export(overrides: tuple[str, ...]) -> None:
    config = small_configuration(*overrides)
    ours, naive = step_cost(export_step(Caddy(config)).model), naive_cost(config)
    assert naive.operations == 127
    assert 2 * ours.operations <= naive.operations
    assert ours.multiply_adds < naive.multiply_adds


def test_multiply_adds_are_those_of_every_convolution() -> None:
    config = small_configuration()
    model = export_step(Caddy(config)).model
    infer = onnx.shape_inference.infer_shapes(model)
    sizes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in infer.graph.value_info
    }
    kernels = {weight.name: weight.dims for weight in model.graph.initializer}
    expected = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            outputs, height, width = sizes[node.output[0]][1:]
            _, inputs, rows, columns = kernels[node.input[1]]
            expected += outputs * height * width * inputs * rows * columns
    assert step_cost(model).multiply_adds == expected > 0

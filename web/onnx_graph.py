"""An ONNX graph, built operation by operation."""

from typing import Any

import numpy as np

from utils.command import UserError
from web.onnx_packages import onnx

OPSET = 17
IR_VERSION = 8
"""Versions of the operators and of the file format; onnxruntime-web has long supported both."""


class OnnxGraph:
    """A graph of nodes, weights, inputs and outputs, in the order of their addition.

    Values are referred to by name.
    """

    def __init__(self, half: bool = False) -> None:
        """Create an empty graph; `half` stores float32 weights of two or more dimensions as float16."""
        self._half = half
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: tuple[int, ...], kind: int = onnx.TensorProto.FLOAT) -> str:
        """Add an input and return its name."""
        self._inputs.append(onnx.helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, shape: tuple[int, ...], kind: int = onnx.TensorProto.FLOAT) -> None:
        """Declare the value `name` as an output."""
        self._outputs.append(onnx.helper.make_tensor_value_info(name, kind, shape))

    def weight(self, name: str, array: np.ndarray) -> str:
        """Add a constant and return its name.

        Raises:
            UserError: it is too large for float16.
        """
        if self._half and array.dtype == np.float32 and array.ndim > 1:
            if np.abs(array).max() > np.finfo(np.float16).max:
                raise UserError(f"{name} is too large for half precision; export without --half")
            self._weights[name] = onnx.numpy_helper.from_array(array.astype(np.float16), f"{name}.half")
            return self.add("Cast", f"{name}.half", to=onnx.TensorProto.FLOAT, name=name)
        self._weights[name] = onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def constant(self, *values: float) -> str:
        """Add a 1-D float32 constant, unless the graph has it already, and return its name."""
        return self._shared(np.array(values, np.float32))

    def integers(self, *values: int) -> str:
        """Add a 1-D int64 constant, unless the graph has it already, and return its name."""
        return self._shared(np.array(values, np.int64))

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the output's name, which is generated unless `name` is given."""
        (output,) = self.add_many(operator, 1, *inputs, names=(name,) if name else (), **attributes)
        return output

    def add_many(
        self, operator: str, count: int, *inputs: str, names: tuple[str, ...] = (), **attributes: Any
    ) -> tuple[str, ...]:
        """Add a node with `count` outputs and return their names."""
        label = f"{operator} {len(self._nodes)}"
        outputs = names or tuple(f"{label}.{index}" for index in range(count))
        self._nodes.append(onnx.helper.make_node(operator, inputs, outputs, name=label, **attributes))
        return outputs

    def _shared(self, array: np.ndarray) -> str:
        name = f"{array.dtype.name}.{'_'.join(map(str, array.tolist()))}"
        return name if name in self._weights else self.weight(name, array)

    def model(self, name: str) -> onnx.ModelProto:
        """Return the graph as a validated model with the shapes of all values."""
        graph = onnx.helper.make_graph(self._nodes, name, self._inputs, self._outputs, list(self._weights.values()))
        model = onnx.helper.make_model(
            graph,
            opset_imports=[onnx.helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="playable-video",
        )
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model, full_check=True)
        return model

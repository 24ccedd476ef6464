"""One step of play as an ONNX graph, without anything that play does not show.

It equals `Caddy.step` in evaluation mode for one game, but computes some parts differently:

- Batch normalisations are folded into the convolutions before them.
- In the dynamics network, normalisations also precede convolutions with zero padding, where a shift has less effect at
  the borders. There, a map of ones joins the maps of actions and variations; its kernel holds all shifts and biases,
  which is exact at the borders too.
- If the first steps have their own normalisations, these convolutions have a kernel for each of them.
- The four gates of a ConvLSTM are one convolution; so are a convolution and the average pooling after it.
- There is no attention, no frame of lower resolution, and no action network.

All operators are standard ones that CPUs, WebAssembly and WebGPU support.

Dimensions: S stacked frames in an observation, K actions, D action-space dimension, A auxiliary channels, F features,
I input and O output channels, H x W pixels, h x w their eighth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.caddy import Caddy
from model.layers.conv_lstm import ConvLSTM
from model.layers.same_block import SameBlock
from model.layers.step_batch_norm import StepBatchNorm2d
from model.layers.up_block import UpBlock
from model.playable import PlayableModel
from model.rendering import Renderer
from web.folding import Affine, folded, pooled
from web.onnx_layers import OnnxLayers
from web.onnx_packages import onnx

RendererWriter = Callable[[OnnxLayers, Renderer, str, str, str], str]
"""Writes a renderer into a graph.

Takes the names of the hidden state (1, O, h, w), of the observation (1, 3S, H, W) before the frame, and of the frame to
write (1, 3, H, W) in [-1, 1]; returns the latter.
"""


@dataclass(frozen=True)
class ExportedStep:
    """An exported step and the initial recurrent state.

    Inputs of the model: `observation` float32 (1, 3S, H, W) in [-1, 1], newest frame first; `action` float32 (1, K),
    one-hot; `variation` float32 (1, D) if `uses_variations`; `step` int64 (1,), the number of previous steps, if
    `counts_steps`; and each entry of `initial_state`. Outputs: `next_observation`, whose first three channels are the
    new frame; `pixels` uint8 (H, W, 4), the new frame in red, green, blue and full opacity; and `next_<state>` of each
    entry.
    """

    model: onnx.ModelProto
    initial_state: dict[str, np.ndarray]  # name to float32 (1, O, h, w), in the order of the model's inputs
    uses_variations: bool
    counts_steps: bool


def export_step(model: PlayableModel, half: bool = False, write_renderer: RendererWriter | None = None) -> ExportedStep:
    """Export the step of a trained model.

    Args:
        model: a `Caddy` on the CPU, with float32 weights.
        half: whether to store weights as float16, which halves the size; the runtime converts them back to float32.
        write_renderer: writes the model's renderer; None for the published decoder.

    Raises:
        UserError: a weight is too large for float16.
    """
    assert isinstance(model, Caddy), "web.exporters chooses what exports a model"
    return _StepGraph(model, half, write_renderer or write_decoder).export()


class _StepGraph:
    """Writes the networks of a model into a graph.

    Methods take the names of values and return that of the result.
    """

    def __init__(self, model: Caddy, half: bool, write_renderer: RendererWriter) -> None:
        self._model = model
        self._graph = OnnxLayers(half)
        self._write_renderer = write_renderer
        self._num_actions, self._dimension = model.centroids.shape
        self._uses_variations = model.action_config.use_variations
        self._num_first_steps = next(
            norm.num_first_steps for norm in model.modules() if isinstance(norm, StepBatchNorm2d)
        )
        self._states = {
            f"{part}_{layer}": getattr(state, part).detach().contiguous().numpy()
            for layer, state in enumerate(model.initial_state(1).layers)
            for part in state._fields
        }

    @torch.no_grad()
    def export(self) -> ExportedStep:
        """Write the whole step."""
        graph = self._graph
        channels = self._model.representation_network.conv1.in_channels
        height, width = (8 * side for side in self._states["hidden_0"].shape[-2:])
        observation = graph.input("observation", (1, channels, height, width))
        vectors = [graph.input("action", (1, self._num_actions))]
        if self._uses_variations:
            vectors.append(graph.input("variation", (1, self._dimension)))
        kernel_index = self._kernel_index() if self._num_first_steps else None
        for name, state in self._states.items():
            graph.input(name, state.shape)

        hidden_state = self._dynamics(self._encoder(observation), vectors, kernel_index)
        frame = self._write_renderer(
            graph,
            self._model.rendering_network,
            hidden_state,
            observation,
            "next_observation" if channels == 3 else "next_frame",
        )
        if channels > 3:
            older = graph.add("Slice", observation, *(graph.integers(n) for n in (0, channels - 3, 1)))
            graph.add("Concat", frame, older, axis=1, name="next_observation")
        graph.output("next_observation", (1, channels, height, width))
        self._pixels(frame)
        graph.output("pixels", (height, width, 4), onnx.TensorProto.UINT8)
        for name, state in self._states.items():
            graph.output(f"next_{name}", state.shape)
        return ExportedStep(
            graph.model("step"), self._states, self._uses_variations, counts_steps=self._num_first_steps > 0
        )

    def _kernel_index(self) -> str:
        """Add the index of the kernel that a step uses in a table: a scalar."""
        step = self._graph.input("step", (1,), onnx.TensorProto.INT64)
        index = self._graph.add("Min", step, self._graph.integers(self._num_first_steps))
        return self._graph.add("Squeeze", index)

    def _encoder(self, observation: str) -> str:
        """Add the encoder: states (1, F, h, w) of an observation, without the last channel, the attention."""
        graph = self._graph
        network: Any = self._model.representation_network
        kernel, bias = folded(network.conv1.weight, network.bn1)
        x = graph.activated(graph.convolution("encoder.first", observation, pooled(kernel), bias, stride=2))
        *blocks, last = network.residuals
        for index, block in enumerate(blocks):
            x = graph.residual(f"encoder.{index}", x, block)
        return graph.residual(f"encoder.{len(blocks)}", x, last, num_channels=last.conv2.out_channels - 1)

    def _dynamics(self, states: str, vectors: list[str], kernel_index: str | None) -> str:
        """Add the dynamics network: the hidden state (1, O, h, w) to render, and the new recurrent state as outputs."""
        graph = self._graph
        network: Any = self._model.dynamics_network
        ones = graph.weight("one", np.ones((1, 1), np.float32))
        auxiliary = graph.add("Unsqueeze", graph.add("Concat", *vectors, ones, axis=1), graph.integers(2, 3))
        maps = {
            size: graph.add("Expand", auxiliary, graph.integers(1, 1, *size))
            for size in {state.shape[-2:]: None for state in self._states.values()}
        }
        x = states
        for layer, ((lstm, norm), block) in enumerate(
            zip(network.recurrent_layers_blocks, network.non_recurrent_blocks, strict=True)
        ):
            auxiliary_maps = maps[self._states[f"hidden_{layer}"].shape[-2:]]
            x = self._lstm(layer, x, auxiliary_maps, lstm)
            x = self._dynamics_block(layer, x, auxiliary_maps, norm, block, kernel_index)
        return x

    def _lstm(self, layer: int, x: str, auxiliary_maps: str, lstm: ConvLSTM) -> str:
        """Add a ConvLSTM; its new hidden state and cell become outputs."""
        graph = self._graph
        gates = lstm.cell.fused()
        num_hidden = len(lstm.initial_hidden_state)
        num_features = gates.weight.shape[1] - num_hidden - self._num_actions - self._dimension
        kernel = self._with_ones(gates.weight, num_features, after=Affine(torch.ones(1), gates.bias.double()))
        joined = graph.add("Concat", x, auxiliary_maps, f"hidden_{layer}", axis=1)
        gate_maps = graph.convolution(f"dynamics.{layer}.gates", joined, kernel)
        sizes = graph.integers(3 * num_hidden, num_hidden)
        gate_maps, candidate = graph.add_many("Split", 2, gate_maps, sizes, axis=1)
        sizes = graph.integers(num_hidden, num_hidden, num_hidden)
        i, f, o = graph.add_many("Split", 3, graph.add("Sigmoid", gate_maps), sizes, axis=1)
        kept = graph.add("Mul", f, f"cell_{layer}")
        written = graph.add("Mul", i, graph.add("Tanh", candidate))
        cell = graph.add("Add", kept, written, name=f"next_cell_{layer}")
        return graph.add("Mul", o, graph.add("Tanh", cell), name=f"next_hidden_{layer}")

    def _dynamics_block(
        self, layer: int, x: str, auxiliary_maps: str, norm: StepBatchNorm2d, block: nn.Module, kernel_index: str | None
    ) -> str:
        """Add the normalisation after a ConvLSTM, and the block after that."""
        graph = self._graph
        joined = graph.add("Concat", x, auxiliary_maps, axis=1)
        assert isinstance(block, SameBlock | UpBlock)
        conv, own_norm = (block.conv1, block.bn1) if isinstance(block, SameBlock) else (block.conv, block.norm)
        kernels = [
            self._with_ones(conv.weight, norm.num_features, after, before)
            for before, after in zip(Affine.of_steps(norm), Affine.of_steps(own_norm), strict=True)
        ]
        stride = block.downscale if isinstance(block, SameBlock) else 1
        kernels = [pooled(kernel, stride) for kernel in kernels]
        kernel = kernels[0] if kernel_index is None else torch.stack(kernels)
        x = graph.convolution(f"dynamics.{layer}.block", joined, kernel, stride=stride, index=kernel_index)
        x = graph.activated(x)
        return graph.enlarged(x) if isinstance(block, UpBlock) else x

    def _with_ones(self, weight: Tensor, num_features: int, after: Affine, before: Affine | None = None) -> Tensor:
        """Fold affine maps into the kernel of a convolution over features, auxiliary maps and perhaps a hidden state.

        Args:
            weight: (O, I, 3, 3), where I is F features, K actions, D variations, and others.
            num_features: F.
            after: the map after the convolution.
            before: the map of the features before the convolution, which does not apply to padding.

        Returns:
            (O, I', 3, 3) in float64: the inputs without variations if they are not used, and with the map of ones after
            the actions and variations.
        """
        weight = weight.double()
        num_vectors = self._num_actions + self._dimension
        features, vectors, others = weight.split(
            [num_features, num_vectors, weight.shape[1] - num_features - num_vectors], dim=1
        )
        if not self._uses_variations:
            vectors = vectors[:, : self._num_actions]
        ones = torch.zeros_like(weight[:, :1])
        if before is not None:
            ones = (features * before.shift[:, None, None]).sum(dim=1, keepdim=True)
            features = features * before.scale[:, None, None]
        kernel = torch.cat([features, vectors, ones, others], dim=1) * after.scale[:, None, None, None]
        kernel[:, num_features + vectors.shape[1], 1, 1] += after.shift
        return kernel

    def _pixels(self, frame: str) -> None:
        """Add the pixels of a frame: rounded as by `utils.images.to_uint8`, opaque, and with channels last."""
        graph = self._graph
        brightness = graph.add("Mul", graph.add("Add", frame, graph.constant(1)), graph.constant(127.5))
        colours = graph.add("Cast", graph.add("Round", brightness), to=onnx.TensorProto.UINT8)
        opaque = graph.weight("opaque", np.array(255, np.uint8))
        pixels = graph.add("Pad", colours, graph.integers(0, 0, 0, 0, 0, 1, 0, 0), opaque)
        graph.add("Squeeze", graph.add("Transpose", pixels, perm=(0, 2, 3, 1)), graph.integers(0), name="pixels")


def write_decoder(graph: OnnxLayers, renderer: Renderer, hidden_state: str, observation: str, name: str) -> str:  # noqa: ARG001
    """Write the published decoder at full resolution only, as `RendererWriter`."""
    network: Any = renderer
    x = hidden_state
    for index, stage in enumerate(network.upsample_blocks):
        blocks: list[Any] = list(stage) if isinstance(stage, nn.Sequential) else [stage]
        up, *residuals = blocks
        x = graph.convolution(f"decoder.{index}", graph.enlarged(x), *folded(up.conv.weight, up.norm))
        x = graph.activated(x)
        for residual in residuals:
            x = graph.residual(f"decoder.{index}.residual", x, residual)
    head = network.final_blocks[-1].conv
    x = graph.convolution("decoder.frame", x, head.weight, head.bias)
    return graph.add("Tanh", x, name=name)

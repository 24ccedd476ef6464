"""The renderer of `model.seeing_rendering` in an ONNX graph: full resolution, without logarithms.

It equals `SeeingRenderer.full_frame`, but computes some parts differently:

- `foretold` has all displacements as channels. Convolutions with a single 1 in each kernel shift the maps along one
  axis, then along the other; another convolution adds up their products, except for that of displacement zero.
- The head's channel for keeping a pixel is negated, so that one sigmoid serves both of its parts.

Dimensions: S stacked frames in an observation, O hidden size, K displacements along an axis, H x W pixels, h x w their
eighth.
"""

import numpy as np
import torch
from torch import nn

from model.rendering import Renderer
from model.seeing_rendering import DARKEST, STRONGEST, UNDECIDED, NormalizedConvolution, SeeingRenderer
from web.onnx_layers import OnnxLayers


def write_seeing_renderer(graph: OnnxLayers, renderer: Renderer, hidden_state: str, observation: str, name: str) -> str:
    """Write the renderer, as `web.onnx_step.RendererWriter`."""
    assert isinstance(renderer, SeeingRenderer), "web.exporters chooses what writes a renderer"
    num_channels = renderer.appearance.conv.in_channels
    newer = _channels(graph, observation, 0, num_channels - 3)
    difference = graph.add("Sub", newer, _channels(graph, observation, 3, num_channels))
    movement = graph.add("Concat", difference, _foretold(graph, difference, renderer.reach), axis=1)
    streams = (
        _normalized(graph, "renderer.appearance", observation, renderer.appearance),
        _normalized(graph, "renderer.movement", movement, renderer.movement),
    )
    x = graph.activated(graph.add("Concat", *streams, axis=1))
    hidden = _normalized(graph, "renderer.from_hidden", hidden_state, renderer.from_hidden)
    x = graph.add("Add", x, graph.enlarged(hidden, 8))
    for index, block in enumerate(renderer.blocks):
        assert isinstance(block, NormalizedConvolution)
        x = graph.activated(_normalized(graph, f"renderer.{index}", x, block))
    return _blended(graph, _channels(graph, observation, 0, 3), *_change(graph, x, renderer.head), name)


def _normalized(graph: OnnxLayers, name: str, x: str, block: NormalizedConvolution) -> str:
    (dilation, _) = block.conv.dilation
    x = graph.convolution(name, x, block.conv.weight, dilation=dilation)
    return graph.group_normalized(name, x, block.norm)


def _foretold(graph: OnnxLayers, difference: str, reach: int) -> str:
    """Add `model.seeing_rendering.foretold`: (1, 1, H, W) of differences (1, 3(S-1), H, W), the newest first."""
    difference = _channels(graph, difference, 0, 3)
    appeared = graph.add("Relu", graph.add("ReduceMax", difference, axes=[1]))
    vanished = graph.add("Relu", graph.add("ReduceMax", graph.add("Neg", difference), axes=[1]))
    count = 2 * reach + 1
    shifts = np.eye(count, dtype=np.float32)
    down = graph.weight("renderer.down", shifts.reshape(count, 1, count, 1))
    right = graph.weight("renderer.right", np.tile(shifts, (count, 1)).reshape(count**2, 1, 1, count))

    def displaced(x: str, steps: int) -> str:
        """Move a map (1, 1, H, W) by `steps` times each displacement, as channels (1, K * K, H, W)."""
        far = steps * reach
        x = graph.add("Conv", x, down, dilations=[steps, 1], pads=[far, 0, far, 0])
        return graph.add("Conv", x, right, dilations=[1, steps], pads=[0, far, 0, far], group=count)

    kernel = torch.ones(1, count**2, 1, 1)
    kernel[:, count**2 // 2] = 0
    products = graph.add("Mul", displaced(appeared, 1), displaced(vanished, 2))
    total = graph.convolution("renderer.foretold", products, kernel)
    return graph.add("Min", total, graph.constant(STRONGEST))


def _change(graph: OnnxLayers, x: str, head: nn.Conv2d) -> tuple[str, str]:
    """Return the painted colours (1, 3, H, W) in [-1, 1] and their opacity (1, 1, H, W) in [0, 1]."""
    assert head.bias is not None
    sign = torch.tensor([1.0, 1, 1, -1])
    x = graph.convolution("renderer.head", x, head.weight * sign[:, None, None, None], head.bias * sign)
    painted, share = graph.add_many("Split", 2, graph.add("Sigmoid", x), graph.integers(3, 1), axis=1)
    least, middle, most = (graph.weight(f"renderer.limit_{x}", np.array(x, np.float32)) for x in (-1, 0, 1))
    paint = graph.add("Clip", _stretched(graph, painted, DARKEST, 2), least, most)
    return paint, graph.add("Clip", _stretched(graph, share, UNDECIDED, 1), middle, most)


def _stretched(graph: OnnxLayers, x: str, margin: float, size: int) -> str:
    """Map the interval from `margin` to 1 - `margin` linearly to one of length `size` that ends at 1."""
    slope = size / (1 - 2 * margin)
    return graph.add("Sub", graph.add("Mul", x, graph.constant(slope)), graph.constant(slope * (1 - margin) - 1))


def _blended(graph: OnnxLayers, current: str, paint: str, share: str, name: str) -> str:
    """Blend paint into the current frame (1, 3, H, W); where its share is 0, the frame stays exactly as it is."""
    change = graph.add("Mul", graph.add("Sub", paint, current), share)
    return graph.add("Add", current, change, name=name)


def _channels(graph: OnnxLayers, x: str, start: int, stop: int) -> str:
    """Slice the channels of a map."""
    return graph.add("Slice", x, *(graph.integers(number) for number in (start, stop, 1)))

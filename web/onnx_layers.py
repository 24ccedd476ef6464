"""Layers that several networks use, as operations of an ONNX graph.

Dimensions: N kernels, I input and O output channels, k the side of a kernel, h x w the size of a map.
"""

from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from model.layers.residual_block import ResidualBlock
from web.folding import folded, pooled
from web.onnx_graph import OnnxGraph

SLOPE = 0.2
"""Negative slope of the LeakyReLU of every block (docs/method.md#blocks)."""


class OnnxLayers(OnnxGraph):
    """A graph to which layers can be added.

    Methods take the names of values and return the name of the result.
    """

    def residual(self, name: str, x: str, block: ResidualBlock, num_channels: int | None = None) -> str:
        """Add a residual block; `num_channels` keeps only the first channels of its output."""
        stride = block.downscale
        kernel, bias = folded(block.conv1.weight, block.bn1)
        y = self.convolution(f"{name}.1", x, pooled(kernel, stride), bias, stride)
        kernel, bias = folded(block.conv2.weight, block.bn2)
        y = self.convolution(f"{name}.2", self.activated(y), kernel[:num_channels], bias[:num_channels])
        if block.downsample is not None:
            conv: Any = block.downsample[0]
            norm: Any = block.downsample[2]
            kernel, bias = (tensor[:num_channels] for tensor in folded(conv.weight, norm))
            x = self.convolution(f"{name}.identity", x, pooled(kernel, stride), bias, stride)
        return self.activated(self.add("Add", y, x))

    def convolution(
        self,
        name: str,
        x: str,
        kernel: Tensor,
        bias: Tensor | None = None,
        stride: int = 1,
        index: str | None = None,
        dilation: int = 1,
    ) -> str:
        """Add a convolution with a constant kernel (O, I, k, k) and bias (O,), padded to keep the resolution.

        If `index` names a value, it selects the kernel from a table (N, O, I, k, k).
        """
        if num_empty := _num_empty_channels(kernel.shape[-3]):
            x = self.add("Pad", x, self.integers(0, 0, 0, 0, 0, num_empty, 0, 0))
            kernel = functional.pad(kernel, (0, 0, 0, 0, 0, num_empty))
        weights = [self.weight(f"{name}.weight", _array(kernel))]
        if index is not None:
            weights = [self.add("Gather", *weights, index, axis=0)]
        if bias is not None:
            weights.append(self.weight(f"{name}.bias", _array(bias)))
        padding = dilation * (kernel.shape[-1] - 1) // 2
        options: dict[str, Any] = {} if dilation == 1 else {"dilations": [dilation] * 2}
        return self.add("Conv", x, *weights, pads=[padding] * 4, strides=[stride] * 2, **options)

    def group_normalized(self, name: str, x: str, norm: nn.GroupNorm) -> str:
        """Add a group normalisation, as an instance normalisation of groups that are reshaped to one channel each."""
        ones, zeros = (self.constant(*[value] * norm.num_groups) for value in (1, 0))
        groups = self.add("Reshape", x, self.integers(1, norm.num_groups, -1, 0))
        groups = self.add("InstanceNormalization", groups, ones, zeros, epsilon=norm.eps)
        x = self.add("Reshape", groups, self.integers(1, norm.num_channels, -1, 0))
        x = self.add("Mul", x, self.weight(f"{name}.scale", _array(norm.weight[:, None, None])))
        return self.add("Add", x, self.weight(f"{name}.shift", _array(norm.bias[:, None, None])))

    def activated(self, x: str) -> str:
        """Add the activation of every block."""
        return self.add("LeakyRelu", x, alpha=SLOPE)

    def enlarged(self, x: str, factor: int = 2) -> str:
        """Add bilinear upsampling by a factor."""
        scales = self.constant(1, 1, factor, factor)
        return self.add("Resize", x, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")


def _array(weights: Tensor) -> np.ndarray:
    return weights.float().contiguous().numpy()


def _num_empty_channels(num_channels: int) -> int:
    """Return the number of empty input channels that a convolution needs for correct results on WebGPU.

    onnxruntime-web 1.30 is wrong if the number of input channels is a multiple of 3 but not of 4, other than 3 itself.
    """
    is_computed_wrongly = num_channels > 3 and num_channels % 3 == 0
    return -num_channels % 4 if is_computed_wrongly else 0

"""Each block against a plain transcription of its definition, in training and in evaluation mode."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.final_block import FinalBlock
from model.layers.residual_block import ResidualBlock
from model.layers.same_block import SameBlock
from model.layers.up_block import UpBlock

MODES = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])


def activate(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def double(x: Tensor) -> Tensor:
    return functional.interpolate(x, size=(2 * x.shape[2], 2 * x.shape[3]), mode="bilinear", align_corners=False)


def plain_residual(block: ResidualBlock, x: Tensor) -> Tensor:
    y = functional.avg_pool2d(block.conv1(x), block.downscale)
    y = block.bn2(block.conv2(activate(block.bn1(y))))
    identity = x
    if block.downsample is not None:
        conv, pool, norm = block.downsample
        identity = norm(pool(conv(x)))
    return activate(y + identity)


def plain_same(block: SameBlock, x: Tensor) -> Tensor:
    return activate(block.bn1(functional.avg_pool2d(block.conv1(x), block.downscale)))


def plain_up(block: UpBlock, x: Tensor) -> Tensor:
    if block.late:
        return double(activate(block.norm(block.conv(x))))
    return activate(block.norm(block.conv(double(x))))


def plain_final(block: FinalBlock, x: Tensor) -> Tensor:
    return torch.tanh(block.conv(x))


def randomized(block: nn.Module, training: bool) -> nn.Module:
    """The block with its batch norms away from their start."""
    for norm in block.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)
    return block.double().train(training)


def check(block: nn.Module, plain: Callable[..., Tensor], training: bool, size: tuple[int, int] = (4, 8)) -> Tensor:
    """Compare values, gradients and batch statistics on an input of 4 channels, and return the output."""
    torch.manual_seed(0)
    x = torch.randn(3, 4, *size, dtype=torch.float64, requires_grad=True)
    unchanged = x.detach().clone()
    randomized(block, training)
    start = {name: tensor.clone() for name, tensor in block.state_dict().items()}

    results = []
    for function in (block, lambda x: plain(block, x)):
        block.load_state_dict(start)
        output = function(x)
        gradients = torch.autograd.grad(output.square().sum(), (x, *block.parameters()))
        statistics = {name: buffer.clone() for name, buffer in block.named_buffers()}
        results.append((output.detach(), gradients, statistics))

    torch.testing.assert_close(results[0], results[1])
    assert torch.equal(x, unchanged)
    return results[0][0]


@MODES
@pytest.mark.parametrize("out_features", [4, 6])
@pytest.mark.parametrize("downscale", [1, 2])
def test_residual_block(out_features: int, downscale: int, training: bool) -> None:
    block = ResidualBlock(4, out_features, downscale)

    output = check(block, plain_residual, training)

    assert output.shape == (3, out_features, 4 // downscale, 8 // downscale)
    assert (block.downsample is None) == (out_features == 4 and downscale == 1)
    assert block.conv1.bias is None
    assert block.conv2.bias is None


@MODES
@pytest.mark.parametrize("downscale", [1, 2])
def test_same_block(downscale: int, training: bool) -> None:
    block = SameBlock(4, 5, downscale)

    assert check(block, plain_same, training).shape == (3, 5, 4 // downscale, 8 // downscale)
    assert block.conv1.bias is None


@MODES
@pytest.mark.parametrize("late", [False, True])
def test_up_block(late: bool, training: bool) -> None:
    block = UpBlock(4, 5, late)

    assert check(block, plain_up, training).shape == (3, 5, 8, 16)
    assert block.conv.bias is None


@pytest.mark.parametrize("kernel_size", [3, 7])
@pytest.mark.parametrize("size", [(2, 2), (4, 8), (16, 6)])
def test_final_block(kernel_size: int, size: tuple[int, int]) -> None:
    output = check(FinalBlock(4, kernel_size), plain_final, training=True, size=size)

    assert output.shape == (3, 3, *size)
    assert output.abs().max() <= 1

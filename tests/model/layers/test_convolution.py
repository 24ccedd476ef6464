import pytest
import torch
from torch.nn import functional

from model.layers.convolution import pooled_conv3x3


@pytest.mark.parametrize("downscale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(12, 12), (12, 24)])
def test_pooled_convolution_equals_convolution_then_pooling(downscale: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 3, 3, 3, dtype=torch.float64, requires_grad=True)

    fused = pooled_conv3x3(x, weight, downscale)
    plain = functional.avg_pool2d(functional.conv2d(x, weight, padding=1), downscale)

    torch.testing.assert_close(fused, plain)
    cotangent = torch.randn_like(plain)
    torch.testing.assert_close(
        torch.autograd.grad(fused, (x, weight), cotangent), torch.autograd.grad(plain, (x, weight), cotangent)
    )

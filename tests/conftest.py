"""Fixtures that tests of several rooms share."""

from collections.abc import Iterator

import pytest
import torch

from model.perceptual import PerceptualNetwork
from tests.reference import filled_vgg19

WITHOUT_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=WITHOUT_CUDA)])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Each kind of processor in turn; CUDA computes in full float32."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield torch.device(request.param)


@pytest.fixture(scope="session")
def perceptual_network() -> PerceptualNetwork:
    """VGG19 with the weights that the reference numbers were computed with."""
    return PerceptualNetwork(filled_vgg19())

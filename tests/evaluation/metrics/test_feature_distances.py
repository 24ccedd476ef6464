"""Distances of network features against the published numbers."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from evaluation.metrics.feature_distances import lpips, vgg_similarity
from model.perceptual import PerceptualNetwork
from tests.reference import load_arrays, relative_error

ARRAYS = load_arrays("metrics")
REFERENCE, GENERATED = (torch.from_numpy(ARRAYS[name]) for name in ("reference", "generated"))


@pytest.mark.parametrize("chunk_size", [3, 16])
def test_vgg_similarities_are_the_published_ones(perceptual_network: PerceptualNetwork, chunk_size: int) -> None:
    similarity = vgg_similarity(perceptual_network, REFERENCE, GENERATED, chunk_size)

    assert relative_error(similarity, ARRAYS["vgg_similarity"]) < 1e-6


def test_frames_pass_the_network_once(perceptual_network: PerceptualNetwork) -> None:
    seen = []
    perceptual_network.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))

    vgg_similarity(perceptual_network, REFERENCE[:1], GENERATED[:1], chunk_size=3)

    assert sum(seen) == 2 * 4


class _MeanDifference(nn.Module):
    """Answers in LPIPS's shape, as long as it is told that frames are in [0, 1]."""

    def forward(self, true: Tensor, made: Tensor, normalize: bool = False) -> Tensor:
        assert normalize
        return (made - true).mean(dim=(1, 2, 3), keepdim=True)


@pytest.mark.parametrize("chunk_size", [1, 3, 16])
def test_lpips_is_asked_of_each_frame(chunk_size: int) -> None:
    distance = partial(lpips, _MeanDifference(), chunk_size=chunk_size)

    torch.testing.assert_close(distance(REFERENCE, GENERATED), (GENERATED - REFERENCE).mean(dim=(2, 3, 4)))

"""Similarity of true and generated frames in the features of pretrained networks (docs/method.md#frame-metrics).

Dimensions: B sequences, T frames of each, N frames, H x W pixels, at least 16 each. Frames are (B, T, 3, H, W) in
[0, 1].
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.metrics.frame_errors import per_frame
from model.perceptual import PerceptualNetwork


def vgg_similarity(network: PerceptualNetwork, reference: Tensor, generated: Tensor, chunk_size: int = 16) -> Tensor:
    """Return the cosine similarity of VGG19 features, averaged over the five levels: (B, T) in [0, 1].

    Args:
        network: the result of `load_similarity_network`.
        reference: true frames.
        generated: generated frames.
        chunk_size: number of frames compared at a time.
    """

    def compare(true: Tensor, made: Tensor) -> Tensor:
        levels = zip(network(2 * true - 1), network(2 * made - 1), strict=True)
        return torch.stack([functional.cosine_similarity(a.flatten(1), b.flatten(1)) for a, b in levels]).mean(dim=0)

    return per_frame(compare, reference, generated, chunk_size)


def lpips(network: nn.Module, reference: Tensor, generated: Tensor, chunk_size: int = 16) -> Tensor:
    """Return the learned perceptual distance (LPIPS, Zhang et al. 2018) of each frame, 0 for equal ones: (B, T).

    Args:
        network: the result of `load_lpips_network`.
        reference: true frames.
        generated: generated frames.
        chunk_size: number of frames compared at a time.
    """

    def compare(true: Tensor, made: Tensor) -> Tensor:
        distances: Tensor = network(true, made, normalize=True)
        return distances.flatten()

    return per_frame(compare, reference, generated, chunk_size)

"""Differentiable samples of a categorical distribution (Jang et al., 2017; Maddison et al., 2017)."""

import torch
from torch import Tensor
from torch.nn import functional

from model.noise import Noise


def gumbel_softmax(
    log_probabilities: Tensor, temperature: float, hard: bool = False, noise: Noise | None = None
) -> Tensor:
    """Draw a Gumbel-Softmax sample.

    Args:
        log_probabilities: (B, ..., K).
        temperature: above 0; the lower, the closer to one-hot.
        hard: one-hot samples with the gradient of the soft ones (straight-through).
        noise: source of randomness, global by default.

    Returns:
        (B, ..., K) weights that are non-negative and sum to 1.
    """
    exponential = (noise or Noise()).exponential_like(log_probabilities)
    gumbel = -exponential.clamp_min(torch.finfo(exponential.dtype).tiny).log()
    soft = functional.softmax((log_probabilities + gumbel) / temperature, dim=-1)
    if not hard:
        return soft
    one_hot = functional.one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype)
    return one_hot + soft - soft.detach()

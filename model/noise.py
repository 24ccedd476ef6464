"""Sources of random numbers for a forward pass.

Dimensions: B batch, R ranks (processes) that share a batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Noise:
    """Random numbers for a batch, or for one rank's share of it.

    Every rank draws for the whole batch from the same source and takes the numbers of its own sequences, so that the
    noise of a sequence does not depend on the number of ranks.
    """

    generator: torch.Generator | None = None
    """Generator on the device of the tensors drawn for; None: the global generator of that device."""
    rank: int = 0
    num_ranks: int = 1

    def normal_like(self, x: Tensor) -> Tensor:
        """Draw standard normal numbers in the shape of x (B, ...)."""
        return self._share(self._for_whole_batch(x).normal_(generator=self.generator))

    def exponential_like(self, x: Tensor) -> Tensor:
        """Draw standard exponential numbers (density exp(-x), x > 0) in the shape of x (B, ...)."""
        return self._share(self._for_whole_batch(x).exponential_(generator=self.generator))

    def choice(self, count: int) -> int:
        """Draw an integer in 0 to `count` - 1, the same on all ranks; nothing is drawn if `count` is 1."""
        if count == 1:
            return 0
        device = self.generator.device if self.generator else None
        return int(torch.randint(count, (), generator=self.generator, device=device))

    def _for_whole_batch(self, x: Tensor) -> Tensor:
        return x.new_empty((self.num_ranks * len(x), *x.shape[1:]))

    def _share(self, x: Tensor) -> Tensor:
        """Take this rank's share (B, ...) of (R * B, ...)."""
        return x.chunk(self.num_ranks)[self.rank]


class SequenceNoise(Noise):
    """Random numbers seeded per sequence, independent of the other sequences in the batch.

    Nothing is drawn for the batch as a whole: the first network of an ensemble is chosen.
    """

    def __init__(self, seeds: Sequence[Sequence[int]]) -> None:
        """Create one generator per sequence from B seeds, each a sequence of non-negative integers."""
        super().__init__()
        self._sources = [np.random.default_rng(seed) for seed in seeds]

    def normal_like(self, x: Tensor) -> Tensor:
        """Draw standard normal numbers in the shape of x (B, ...)."""
        return self._like(x, lambda source, shape: source.standard_normal(shape, np.float32))

    def exponential_like(self, x: Tensor) -> Tensor:
        """Draw standard exponential numbers (density exp(-x), x > 0) in the shape of x (B, ...)."""
        return self._like(x, lambda source, shape: source.standard_exponential(shape, np.float32))

    def choice(self, count: int) -> int:  # noqa: ARG002
        """Return 0, the first."""
        return 0

    def _like(self, x: Tensor, draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]) -> Tensor:
        numbers = np.stack([draw(source, tuple(x.shape[1:])) for source in self._sources])
        return torch.from_numpy(numbers).to(x.device, x.dtype)


class NoNoise(Noise):
    """Deterministic replacement of noise: means, unperturbed logits, and the first network of an ensemble."""

    def normal_like(self, x: Tensor) -> Tensor:
        """Return zeros in the shape of x."""
        return torch.zeros_like(x)

    def exponential_like(self, x: Tensor) -> Tensor:
        """Return ones in the shape of x, which make Gumbel noise zero."""
        return torch.ones_like(x)

    def choice(self, count: int) -> int:  # noqa: ARG002
        """Return 0, the first."""
        return 0

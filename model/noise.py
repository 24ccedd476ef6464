"""Where the randomness of a pass comes from.

B sequences in a batch, R ranks (processes) that share a batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Noise:
    """Random numbers for a batch, or for one rank's share of it.

    The ranks draw for the whole batch, each from the same source, and take what belongs to their sequences, so that the
    noise of a sequence does not depend on how many ranks there are.
    """

    generator: torch.Generator | None = None
    """On the device of the tensors that are drawn for; None is the global one of that device."""
    rank: int = 0
    num_ranks: int = 1

    def normal_like(self, x: Tensor) -> Tensor:
        """Standard normal numbers in the shape of x (B, ...)."""
        return self._share(self._for_whole_batch(x).normal_(generator=self.generator))

    def exponential_like(self, x: Tensor) -> Tensor:
        """Numbers with the density exp(-x), x > 0, in the shape of x (B, ...)."""
        return self._share(self._for_whole_batch(x).exponential_(generator=self.generator))

    def choice(self, count: int) -> int:
        """One of 0 to `count` - 1, the same for all ranks. Nothing is drawn if there is but one."""
        if count == 1:
            return 0
        device = self.generator.device if self.generator else None
        return int(torch.randint(count, (), generator=self.generator, device=device))

    def _for_whole_batch(self, x: Tensor) -> Tensor:
        return x.new_empty((self.num_ranks * len(x), *x.shape[1:]))

    def _share(self, x: Tensor) -> Tensor:
        """A rank's (B, ...) of (R * B, ...)."""
        return x.chunk(self.num_ranks)[self.rank]


class SequenceNoise(Noise):
    """Random numbers that each sequence of a batch has of its own, whichever sequences are beside it.

    Nothing that a batch has in common is drawn: of an ensemble the first is chosen.
    """

    def __init__(self, seeds: Sequence[Sequence[int]]) -> None:
        """Begin with seeds for each of B sequences: whole numbers, not negative."""
        super().__init__()
        self._sources = [np.random.default_rng(seed) for seed in seeds]

    def normal_like(self, x: Tensor) -> Tensor:
        """Standard normal numbers in the shape of x (B, ...)."""
        return self._like(x, lambda source, shape: source.standard_normal(shape, np.float32))

    def exponential_like(self, x: Tensor) -> Tensor:
        """Numbers with the density exp(-x), x > 0, in the shape of x (B, ...)."""
        return self._like(x, lambda source, shape: source.standard_exponential(shape, np.float32))

    def choice(self, count: int) -> int:  # noqa: ARG002
        """The first, 0, for all."""
        return 0

    def _like(self, x: Tensor, draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]) -> Tensor:
        numbers = np.stack([draw(source, tuple(x.shape[1:])) for source in self._sources])
        return torch.from_numpy(numbers).to(x.device, x.dtype)


class NoNoise(Noise):
    """What is most probable in place of samples: means, unperturbed logits, and the first of an ensemble."""

    def normal_like(self, x: Tensor) -> Tensor:
        """Zeros in the shape of x."""
        return torch.zeros_like(x)

    def exponential_like(self, x: Tensor) -> Tensor:
        """Ones in the shape of x, with which Gumbel noise is zero."""
        return torch.ones_like(x)

    def choice(self, count: int) -> int:  # noqa: ARG002
        """The first, 0."""
        return 0

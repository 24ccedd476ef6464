"""Where the randomness of a pass comes from.

B sequences in a batch, R ranks (processes) that share a batch.
"""

from dataclasses import dataclass

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

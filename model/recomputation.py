"""Less memory for more time: what a pass computes on its way is computed anew when the gradient needs it."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import ParamSpec, TypeVar

from torch.utils.checkpoint import checkpoint

from model.layers.batch_norm import BatchNorm2d

P = ParamSpec("P")
R = TypeVar("R")


def recomputed(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that does the same and keeps its inputs for the backward pass in place of all in between.

    It must draw no random numbers. Batch normalisations follow the first of the two passes alone.
    """

    def call(*arguments: P.args, **named: P.kwargs) -> R:
        result: R = checkpoint(
            partial(function, *arguments, **named),
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: (nullcontext(), BatchNorm2d.recomputing()),
        )
        return result

    return call

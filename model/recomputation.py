"""Activation checkpointing: what a pass computes is computed anew when the gradient needs it, not kept."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import ParamSpec, TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from model.layers.batch_norm import repeating

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def recomputed(function: Callable[Arguments, Result], model: nn.Module, enabled: bool) -> Callable[Arguments, Result]:
    """Return a function that does the same but keeps only its inputs for the backward pass.

    Args:
        function: a part of the model's pass that draws no random numbers.
        model: its batch normalisations follow the first of the two passes alone.
        enabled: if not, or where no gradient is asked for, the function is returned as it is.
    """
    if not (enabled and torch.is_grad_enabled()):
        return function

    def call(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        result: Result = checkpoint(
            partial(function, *arguments, **named),
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: (nullcontext(), repeating(model)),
        )
        return result

    return call

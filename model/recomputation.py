"""Activation checkpointing whose second pass leaves BatchNorm's running statistics unchanged."""

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
    """Wrap a function so that it stores only its inputs and is recomputed in the backward pass.

    Args:
        function: a part of the model's forward pass that draws no random numbers.
        model: the model, whose running statistics are updated by the first of the two passes only.
        enabled: whether to wrap; if not, or if gradients are disabled, the function is returned unchanged.
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

"""Simulators that tests share."""

import torch

from model.build import build_model
from model.seeing_rendering import SeeingRenderer
from playing.simulator import Simulator
from tests.configurations import small_configuration


def simulator(*overrides: str) -> Simulator:
    """Of a small model with random weights, whose frames change: one that sees them paints them and keeps nothing."""
    torch.manual_seed(0)
    model = build_model(small_configuration(*overrides))
    for renderer in model.modules():
        if isinstance(renderer, SeeingRenderer):
            assert renderer.head.bias is not None
            torch.nn.init.constant_(renderer.head.bias[3:], -4.0)
    return Simulator(model)

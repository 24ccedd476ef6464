"""Compiled networks: the same computation, with fewer and larger kernels."""

import os
import shutil

import torch
from torch import nn

from model.caddy import Caddy
from model.perceptual import PerceptualNetwork
from utils.command import UserError

MAX_VARIANTS = 64
"""Graphs compiled at most of one function: for sequences of another length, other phases of training, and so on."""


def compile_networks(model: Caddy, perceptual_network: PerceptualNetwork | None, device: torch.device) -> None:
    """Let each network be compiled when it is first used, in place; parameter names stay as they are.

    Each sequence length has graphs of its own, of static shapes. Evaluations are not compiled
    (`torch.compiler.set_stance`), since few of them are done.

    Raises:
        UserError: there is no C++ compiler, which PyTorch needs for this on CPUs.
    """
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and not (shutil.which(compiler) or shutil.which("clang++")):
        raise UserError("training.compile: needs a C++ compiler, and there is none; install g++, or set it to false")
    torch._dynamo.config.recompile_limit = MAX_VARIANTS
    networks: list[nn.Module] = [model.representation_network, model.dynamics_network, model.rendering_network]
    if perceptual_network is not None:
        networks.append(perceptual_network)
    for network in networks:
        network.compile(dynamic=False)


def num_compiled_graphs() -> int:
    """How many graphs were compiled so far in this process."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])

"""Compiled networks: the same computation, with fewer and larger kernels. And what `auto` stands for on a device."""

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils._triton import has_triton

from model.playable import PlayableModel
from training.objective import Objective
from utils.command import UserError, one_line, tell
from utils.configuration import Configuration

MAX_VARIANTS = 64
"""Graphs compiled at most of one function: for sequences of another length, other phases of training, and so on."""


def resolve_auto(config: Configuration, device: torch.device) -> Configuration:
    """Return a configuration in which nothing of how to compute is left to choose.

    On CUDA `training.precision: auto` becomes `bf16` where the device knows bfloat16, and `training.compile: auto` true
    where nothing is missing for it: on CPUs both were seen to learn nearly what plain float32 learns
    (`benchmarks.equal_learning`). Elsewhere nothing is compiled, and rounded as PyTorch does by itself.

    Raises:
        UserError: CUDA graphs are wanted of networks that are not compiled for CUDA.
    """
    on_cuda = device.type == "cuda"
    settings = config.training
    changes: dict[str, object] = {}
    if settings.precision == "auto":
        uses_bf16 = on_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
        changes["precision"] = "bf16" if uses_bf16 else "tf32"
    if settings.compile == "auto":
        missing = _missing_for_compilation(device)
        if on_cuda and missing:
            tell(f"networks are not compiled, which needs {missing}")
        changes["compile"] = on_cuda and missing is None
    settings = settings.model_copy(update=changes)
    if settings.cuda_graphs and not (on_cuda and settings.compile):
        raise UserError(
            "training.cuda_graphs: only networks that are compiled for CUDA have these; set it to false"
            + (", or training.compile to true" if on_cuda else "")
        )
    return config.model_copy(update={"training": settings})


def compile_networks(model: PlayableModel, objective: Objective, device: torch.device) -> None:
    """Let each network be compiled when it is first used, in place; parameter names stay as they are.

    Each sequence length has graphs of its own, of static shapes. Evaluations are not compiled
    (`torch.compiler.set_stance`), since few of them are done.

    Raises:
        UserError: something that PyTorch needs for this is missing.
    """
    if missing := _missing_for_compilation(device):
        raise UserError(f"training.compile: needs {missing}; set it to false without that")
    torch._dynamo.config.recompile_limit = MAX_VARIANTS
    networks = model.compilable_networks()
    if objective.perceptual_loss is not None:
        networks.append(objective.perceptual_loss.network)
    for network in networks:
        network.compile(dynamic=False, mode="reduce-overhead" if objective.settings.cuda_graphs else None)


@contextmanager
def explaining_failed_compilation() -> Iterator[None]:
    """Turn errors of the compiler into a `UserError` with a remedy. Others pass, and a lack of memory."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch._dynamo.exc.TorchDynamoException) or "out of memory" in str(error):
            raise
        raise UserError(
            f"training.compile: the networks cannot be compiled here ({one_line(error)}); set it to false, then run "
            "the same command again"
        ) from error


def num_compiled_graphs() -> int:
    """How many graphs were compiled so far in this process."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def _missing_for_compilation(device: torch.device) -> str | None:
    """What is not there of what compiled networks need on a device, if anything."""
    on_cuda = device.type == "cuda"
    if on_cuda and not has_triton():
        return "a GPU that Triton supports"
    if on_cuda and not _is_there("CC", "gcc", "clang"):
        return "a C compiler (apt-get install gcc)"
    if not on_cuda and not _is_there("CXX", "clang++" if sys.platform == "darwin" else "g++"):
        return "a C++ compiler (apt-get install g++)"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "the headers of Python (apt-get install python3-dev)"
    return None


def _is_there(variable: str, *names: str) -> bool:
    """Whether the program that a variable of the environment names is installed, or else one of some."""
    chosen = os.environ.get(variable)
    return any(shutil.which(name) for name in ([chosen] if chosen else names))

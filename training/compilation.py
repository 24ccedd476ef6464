"""Compilation of the networks, and what `auto` stands for on a device."""

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
from utils.command import UserError, one_line
from utils.configuration import Configuration

MAX_VARIANTS = 64
"""Most graphs compiled of one function: each sequence length, each phase of training and so on has its own."""


def resolve_auto(config: Configuration, device: torch.device) -> Configuration:
    """Replace `auto` in `training.precision` and `training.compile` by what the device supports.

    On every device the precision becomes `tf32`, and nothing is compiled. bfloat16 and compiled networks may become
    defaults on CUDA once a run there has shown that they learn the same (`benchmarks.gpu`); a test holds that.

    Raises:
        UserError: `training.cuda_graphs` is true, but networks are not compiled for CUDA.
    """
    on_cuda = device.type == "cuda"
    settings = config.training
    changes: dict[str, object] = {}
    if settings.precision == "auto":
        changes["precision"] = "tf32"
    if settings.compile == "auto":
        changes["compile"] = False
    settings = settings.model_copy(update=changes)
    if settings.cuda_graphs and not (on_cuda and settings.compile):
        raise UserError(
            "training.cuda_graphs: only networks that are compiled for CUDA have these; set it to false"
            + (", or training.compile to true" if on_cuda else "")
        )
    return config.model_copy(update={"training": settings})


def compile_networks(model: PlayableModel, objective: Objective, device: torch.device) -> None:
    """Mark each network for compilation on first use, in place; parameter names stay the same.

    Shapes are static, so each sequence length has its own graphs. Evaluations are not compiled
    (`torch.compiler.set_stance`), since there are few of them.

    Raises:
        UserError: something that compilation needs is missing.
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
    """Turn compiler errors into a `UserError` with a remedy.

    Other errors, and a compiler that runs out of memory, pass unchanged.

    Raises:
        UserError: the networks cannot be compiled.
    """
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
    """Return the number of graphs compiled so far in this process."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def _missing_for_compilation(device: torch.device) -> str | None:
    """Return what compilation for a device needs and lacks; None if nothing is missing."""
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
    """Whether the program named by an environment variable is installed; if it is not set, one of `names`."""
    chosen = os.environ.get(variable)
    return any(shutil.which(name) for name in ([chosen] if chosen else names))

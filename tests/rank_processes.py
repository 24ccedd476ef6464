"""Processes that train together, as `torchrun` would start them, but from a server that has imported everything."""

import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.processes import DEADLINE, REPOSITORY, PythonProcess

_context = multiprocessing.get_context("forkserver")


def rank_environments(num_ranks: int) -> list[dict[str, str]]:
    """What `torchrun` tells each of the processes that it starts on one machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "TORCHELASTIC_RUN_ID": "test",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(num_ranks),
    }
    return [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(num_ranks)]


def start_ranks(folder: Path, num_ranks: int, *arguments: str | Path) -> list[PythonProcess]:
    """Start a command that begins with `python` in every rank; each prints into a folder of its own."""
    processes = []
    for rank, environment in enumerate(rank_environments(num_ranks)):
        (folder / f"rank{rank}").mkdir(exist_ok=True)
        processes.append(PythonProcess(folder / f"rank{rank}", *arguments, environment=environment))
    return processes


def torchrun(num_ranks: int, script: Path, *arguments: str, max_restarts: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a script with `torchrun`, on one thread in each rank."""
    launcher = ("--standalone", f"--nproc_per_node={num_ranks}", f"--max-restarts={max_restarts}")
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *launcher, str(script), *arguments],
        cwd=REPOSITORY,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def run_in_ranks(num_ranks: int, function: Callable[..., None], *arguments: Any) -> None:
    """Call a function of a module in every rank, within the process group."""
    processes = [
        _context.Process(target=_run, args=(environment, function, *arguments))
        for environment in rank_environments(num_ranks)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(DEADLINE)
        process.kill()
    assert [process.exitcode for process in processes] == [0] * num_ranks


def _run(environment: dict[str, str], function: Callable[..., None], *arguments: Any) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)

    from utils.distributed import all_ranks

    with all_ranks("cpu"):
        function(*arguments)

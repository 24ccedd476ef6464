"""`train.py` in processes of its own, which tests can interrupt and kill."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

DEADLINE = 120
"""Seconds after which a process is taken to hang."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["training.run"])  # imported once for all processes


class TrainingProcess:
    """`train.py` with some arguments, at the head of a process group as behind a terminal."""

    def __init__(self, folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        """Start it. `folder` gets its output; None in `environment` unsets a variable."""
        self._outputs = folder / "stdout", folder / "stderr"
        self._process = _context.Process(target=_train, args=(arguments, self._outputs, environment or {}))
        self._process.start()

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Return when a condition holds or the process has ended."""
        start = time.monotonic()
        while not condition() and self._process.is_alive():
            assert time.monotonic() < start + DEADLINE, self.stderr
            time.sleep(0.002)

    def send(self, number: signal.Signals, to_group: bool = False) -> None:
        """Send a signal, unless the process has ended."""
        assert self._process.pid
        if self._process.is_alive():
            (os.killpg if to_group else os.kill)(self._process.pid, number)

    def wait(self) -> int | None:
        """Return the exit code, negative the number of the signal that ended the process."""
        self._process.join(DEADLINE)
        if self._process.is_alive():
            self._process.kill()
            raise AssertionError(f"still running after {DEADLINE} s: {self.stderr}")
        return self._process.exitcode

    @property
    def stdout(self) -> str:
        """What it printed so far."""
        return self._outputs[0].read_text()

    @property
    def stderr(self) -> str:
        """What it complained of so far, the progress bar included."""
        return self._outputs[1].read_text()


def _train(arguments: tuple[str, ...], outputs: tuple[Path, Path], environment: dict[str, str]) -> None:
    os.setpgid(0, 0)
    for descriptor, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.environ.update(environment)
    sys.argv = ["train.py", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    multiprocessing.set_start_method(None, force=True)  # workers start as they do from a command line

    import torch

    import train
    from utils.command import run_command

    torch.set_num_threads(1)
    run_command(train.main)

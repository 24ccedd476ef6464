"""Commands of the project in processes of their own, forked from a server that has imported what they need."""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.endurance.children import IMPORTED_ONCE

REPOSITORY = Path(__file__).parent.parent

Environment = Mapping[str, str | None]

DEADLINE = 120
"""Seconds after which a process is taken to hang, ..."""

COMMAND_DEADLINE = 300
"""... and a whole command, unless a test gives it more."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(  # there is one server, which the campaigns of `benchmarks.endurance` use as well
    [*IMPORTED_ONCE, "evaluation.breakout.playability", "evaluation.dataset_evaluator", "preparation.run"]
)


class PythonProcess:
    """A command that begins with `python`, at the head of a process group as behind a terminal."""

    def __init__(
        self,
        folder: Path,
        *arguments: str | Path,
        cwd: Path = REPOSITORY,
        environment: Environment | None = None,
    ) -> None:
        """Start it.

        Args:
            folder: gets what is printed.
            arguments: what follows `python`: a script, `-m` and a module or `-c` and code, and their arguments.
            cwd: the working folder.
            environment: variables, beside or in place of those of this process; None unsets one.
        """
        self._outputs = folder / "stdout", folder / "stderr"
        whole = {name: value for name, value in {**os.environ, **(environment or {})}.items() if value is not None}
        command = [str(argument) for argument in arguments]
        self._process = _context.Process(target=_run, args=(command, self._outputs, cwd, whole))
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

    def wait(self, seconds: float = DEADLINE) -> int:
        """Return the exit code, negative the number of the signal that ended the process."""
        self._process.join(seconds)
        if self._process.is_alive():
            self._process.kill()
            raise AssertionError(f"still running after {seconds} s: {self.stderr}")
        assert self._process.exitcode is not None
        return self._process.exitcode

    def has_printed(self, text: str) -> bool:
        """Whether it printed something, if it has begun."""
        return self._outputs[0].exists() and text in self.stdout

    @property
    def stdout(self) -> str:
        """What it printed so far."""
        return self._outputs[0].read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        """What it complained of so far, the progress bar included."""
        return self._outputs[1].read_text(encoding="utf-8")


def run_python(
    *arguments: str | Path,
    cwd: Path = REPOSITORY,
    environment: Environment | None = None,
    seconds: float = COMMAND_DEADLINE,
) -> subprocess.CompletedProcess[str]:
    """Run a command that begins with `python` to its end; for the arguments see `PythonProcess` and its `wait`."""
    with tempfile.TemporaryDirectory() as folder:
        process = PythonProcess(Path(folder), *arguments, cwd=cwd, environment=environment)
        return subprocess.CompletedProcess(arguments, process.wait(seconds), process.stdout, process.stderr)


def succeed(
    *arguments: str | Path,
    cwd: Path = REPOSITORY,
    environment: Environment | None = None,
    seconds: float = COMMAND_DEADLINE,
) -> str:
    """Run a command that begins with `python`, which succeeds; return what it prints."""
    done = run_python(*arguments, cwd=cwd, environment=environment, seconds=seconds)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def run_forked(
    command: Sequence[str], *, check: bool, env: Environment | None = None
) -> subprocess.CompletedProcess[str]:
    """Take the place of `subprocess.run` for a command that begins with this Python."""
    assert command[0] == sys.executable
    assert not check
    return run_python(*command[1:], environment=env)


def _run(command: list[str], outputs: tuple[Path, Path], cwd: Path, environment: dict[str, str]) -> None:
    os.setpgid(0, 0)
    for descriptor, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    multiprocessing.set_start_method(None, force=True)  # workers start as they do from a command line

    import torch

    torch.set_num_threads(1)
    if command[0] == "-m":
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    elif command[0] == "-c":
        sys.argv = ["-c", *command[2:]]
        exec(command[1], {"__name__": "__main__"})
    else:
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")

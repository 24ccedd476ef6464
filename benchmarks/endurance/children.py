"""Commands in child processes that begin with everything imported, so that a start takes milliseconds."""

import importlib
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.command import run_command, tell

GIB = 2**30
LIMIT_GIB = 2
"""Address space that a limited child may take beyond what it begins with."""
LIMIT_SECONDS = 60
"""Time of a processor that a limited child may take, and so may each program that it runs."""

DEADLINE = 300.0
"""Seconds after which a child counts as hanging."""

Main = Callable[[], int | None]
"""A command's `main`."""


@dataclass(frozen=True)
class Command:
    """The `main` of a command, which benchmarks do not import."""

    module: str

    def __call__(self) -> int | None:
        """Import the command and run it."""
        code: int | None = importlib.import_module(self.module).main()
        return code


def name_of(main: Main) -> str:
    """Return the module of a `main`."""
    return main.module if isinstance(main, Command) else main.__module__


IMPORTED_ONCE = [
    "training.run",
    "training.release",
    "evaluation.dataset_builder",
    "playing.run",
    "web.exporter",
    "web.onnx_simulator",
    "onnxruntime",
    "pyarrow.parquet",
    "h5py",
    "aiohttp",
    "matplotlib.pyplot",
    "dataset.inspect",
    "dataset.acquisition.convert_video_directory",
    "dataset.acquisition.export_lerobot",
    "dataset.acquisition.shard",
    "dataset.acquisition.readers.all_readers",
    "preparation.footage",
    "benchmarks.endurance.hostile_readers",
    "benchmarks.endurance.provoked",
]
"""Modules that processes begin with."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(IMPORTED_ONCE)


@dataclass(frozen=True)
class Ended:
    """How a child process ended."""

    code: int
    """The exit code; negative the number of the signal that ended it."""
    seconds: float
    stdout: str
    stderr: str
    grown_gib: float
    """Its largest resident memory beyond what it began with, or that of a program it ran; 0 if it was killed."""
    processor_seconds: float
    """The time of processors that it and its programs took; 0 if it was killed."""

    @property
    def has_traceback(self) -> bool:
        """Whether it told of an exception as only mistakes of a program do."""
        return "Traceback (most recent call last)" in self.stderr

    @property
    def complaint(self) -> str:
        """The last line that it wrote to stderr."""
        return (self.stderr.strip().splitlines() or [""])[-1][:300]


class Child:
    """A command that runs in a process of its own, in a folder, on one core."""

    def __init__(
        self,
        main: Main,
        arguments: Sequence[str],
        folder: Path,
        *,
        is_limited: bool = False,
        user: int | None = None,
    ) -> None:
        """Start it.

        Args:
            main: the command's main function.
            arguments: its arguments.
            folder: where it runs; its output goes to hidden files there.
            is_limited: whether its memory and time are limited, by `LIMIT_GIB` and `LIMIT_SECONDS`.
            user: number of the user that it runs as; None for the one of this process.
        """
        self._files = tuple(folder.parent / f".{folder.name}.{name}" for name in ("stdout", "stderr", "usage"))
        limits = _Limits(is_limited, user)
        for file in self._files:
            file.unlink(missing_ok=True)
        self._process = _context.Process(target=_run, args=(main, tuple(arguments), folder, self._files, limits))
        self._start = time.monotonic()
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.is_alive()

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return _text(self._files[0])

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.is_alive:
            os.kill(self.pid, number)

    def wait(self, seconds: float = DEADLINE) -> Ended:
        """Wait for its end, and kill it after some seconds."""
        self._process.join(seconds)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        taken = time.monotonic() - self._start
        assert self._process.exitcode is not None
        stdout, stderr, usage = map(_text, self._files)
        grown, processor_seconds = map(float, usage.split() or (0, 0))
        return Ended(self._process.exitcode, taken, stdout, stderr, grown, processor_seconds)


def told(where: str, problems: Iterable[str]) -> list[str]:
    """Return problems with where they were found, each of which is printed at once."""
    failures = [f"{where}: {problem}" for problem in problems]
    for failure in failures:
        tell(failure)
    return failures


def descendants(pid: int) -> dict[int, str]:
    """Return the processes that a process has started, directly or not: the moment each began, by its number."""
    parents: dict[int, int] = {}
    began: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (fields := _stat(int(folder.name))):
            parents[int(folder.name)], began[int(folder.name)] = int(fields[1]), fields[19]
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {child: began[child] for child in found - {pid}}


def surviving(processes: dict[int, str], seconds: float) -> list[int]:
    """Return those of some `descendants` that have not ended within some seconds; waits no longer than needed."""
    end = time.monotonic() + seconds
    while left := [pid for pid, began in processes.items() if _is_running(pid, began)]:
        if time.monotonic() > end:
            break
        time.sleep(0.02)
    return left


def memory_gib(pid: int | str, name: str = "VmRSS") -> float:
    """Return a size from `/proc/<pid>/status` in GiB; 0 if the process has ended."""
    lines = _text(Path(f"/proc/{pid}/status")).splitlines()
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith(f"{name}:")), 0.0)


def _is_running(pid: int, began: str) -> bool:
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z" and fields[19] == began


def _stat(pid: int) -> list[str]:
    """The fields of `/proc/<pid>/stat` from the third one, its state, on."""
    return _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


@dataclass(frozen=True)
class _Limits:
    """What a child may take, as the arguments of `Child` say."""

    is_limited: bool
    user: int | None

    def set(self) -> None:
        """Limit this process."""
        if self.is_limited:
            most = int((memory_gib("self", "VmSize") + LIMIT_GIB) * GIB)
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_SECONDS, LIMIT_SECONDS))
        if self.user is not None:
            os.setgroups([])
            os.setgid(self.user)
            os.setuid(self.user)


def _run(main: Main, arguments: tuple[str, ...], folder: Path, files: tuple[Path, ...], limits: _Limits) -> None:
    os.setpgid(0, 0)
    for descriptor, path in enumerate(files[:2], start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    usage = os.open(files[2], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.chdir(folder)
    sys.argv = [f"{name_of(main)}.py", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    multiprocessing.set_start_method(None, force=True)  # worker processes start as they do from a command line

    import torch

    torch.set_num_threads(1)
    limits.set()
    begun_with = memory_gib("self")
    try:
        run_command(main)
    finally:
        programs = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak, largest = memory_gib("self", "VmHWM"), programs.ru_maxrss / 2**20
        grown = max(peak - begun_with, largest if largest > peak else 0.0)
        seconds = time.process_time() + programs.ru_utime + programs.ru_stime
        os.write(usage, f"{grown:.4f} {seconds:.3f}".encode())

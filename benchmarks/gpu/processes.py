"""A process that is ended with all its children when its time is over."""

import os
import signal
import subprocess
import time
import uuid
from contextlib import suppress
from pathlib import Path

MARK = "GPU_BENCHMARK_STAGE"
"""Environment variable by which the children of a process are found, in whatever session they are."""

SECONDS_TO_END = 1.0
"""Time to wait for a process that was killed: one that hangs in the driver may never end."""


def run_limited(command: list[str], seconds: float, log: Path, folder: Path) -> int | None:
    """Run a command in a folder, and end whatever it has started when it ends or its time is over.

    Args:
        command: the command.
        seconds: its time.
        log: file for what it prints.
        folder: the working folder.

    Returns:
        The exit code; None if the time was over before.
    """
    mark = uuid.uuid4().hex
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, MARK: mark},
            start_new_session=True,
        )
    try:
        return process.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_END)
        _end_marked(mark.encode())


def _end_marked(mark: bytes) -> None:
    """End all processes with a mark, where the system tells them (Linux); they may start others until they are."""
    given_up = time.monotonic() + SECONDS_TO_END
    while found := [pid for pid in _processes() if mark in _environment(pid)]:
        if time.monotonic() > given_up:
            return
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _environment(pid: int) -> bytes:
    """The environment of a process, empty if it has ended or belongs to another user."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""

"""Work on many videos in several processes, which stop in order when the command is interrupted."""

import multiprocessing
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.synchronize import Event
from typing import Any, TypeVar

Result = TypeVar("Result")

_given_up: Event | None = None
"""Set in a worker process: whether the work was given up."""


def stop_if_given_up() -> None:
    """To be called now and then in the work: `KeyboardInterrupt` in a worker process once the work was given up."""
    if _given_up is not None and _given_up.is_set():
        raise KeyboardInterrupt


def run_in_parallel(
    function: Callable[..., Result], calls: Iterable[tuple[Any, ...]], processes: int, done: Callable[[Result], object]
) -> None:
    """Call a function with each tuple of arguments, and `done` here with each result, in the order they come in.

    With one process the work is done here. Function, arguments and results are pickled otherwise. The first exception
    ends all work and is raised.
    """
    calls = list(calls)
    if min(processes, len(calls)) <= 1:
        for arguments in calls:
            done(function(*arguments))
        return
    context = multiprocessing.get_context("spawn")
    given_up = context.Event()
    executor = ProcessPoolExecutor(min(processes, len(calls)), context, _start_worker, (given_up,))
    try:
        # Workers inherit that they ignore Ctrl-C, which a terminal sends to all: this process tells them to stop.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        futures = [executor.submit(function, *arguments) for arguments in calls]
        signal.signal(signal.SIGINT, handler)
        for future in as_completed(futures):
            done(future.result())
    finally:
        given_up.set()
        executor.shutdown(cancel_futures=True)


def _start_worker(given_up: Event) -> None:
    global _given_up
    _given_up = given_up

"""Process videos in parallel processes that stop cleanly when the command is interrupted."""

import multiprocessing
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.synchronize import Event
from typing import Any, TypeVar

from utils.processes import end_with_parent

Result = TypeVar("Result")

_given_up: Event | None = None
"""Event that tells a worker process that the work was cancelled; None in other processes."""


def stop_if_given_up() -> None:
    """Stop a worker process if the work was cancelled; to be called regularly during the work.

    Raises:
        KeyboardInterrupt: the work was cancelled.
    """
    if _given_up is not None and _given_up.is_set():
        raise KeyboardInterrupt


def run_in_parallel(
    function: Callable[..., Result], calls: Iterable[tuple[Any, ...]], processes: int, done: Callable[[Result], object]
) -> None:
    """Call a function with each tuple of arguments in parallel, and `done` in this process with each result.

    Results arrive in order of completion. With a single process the work is done in this one; otherwise function,
    arguments and results are pickled. The first exception cancels all work and is raised.
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
        # Workers inherit that Ctrl-C, which a terminal sends to all processes, is ignored: this process stops them.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        futures = [executor.submit(function, *arguments) for arguments in calls]
        signal.signal(signal.SIGINT, handler)
        for future in as_completed(futures):
            done(future.result())
    finally:
        given_up.set()
        executor.shutdown(cancel_futures=True)


def _start_worker(given_up: Event) -> None:
    end_with_parent()
    global _given_up
    _given_up = given_up

"""Processes that work for another one."""

import multiprocessing
import os
import threading
import time

SECONDS_BETWEEN_LOOKS = 0.5


def end_with_parent() -> None:
    """Have this worker process end soon after the one that started it, even where that one was killed.

    Workers that wait for their next piece of work would not notice.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    threading.Thread(target=_watch, args=(parent.pid,), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)

"""Commands to which something happens on the way, as `main` functions of child processes."""

import datetime
import itertools
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self

import torch

from benchmarks.endurance.children import Command
from benchmarks.endurance.hostile_readers import read_shards
from dataset.shards import storage
from playing import recording
from playing.simulator import Simulator
from training.step import TrainingStep

STEPS_UNTIL_LACK = 5
DAY = 86_400.0


def train_without_memory() -> int | None:
    """Train until the device has no memory left for a step."""
    _lack_memory(TrainingStep, "forward")
    return Command("train")()


def build_without_memory() -> int | None:
    """Build an evaluation data set for whose first frame the device has no memory."""
    _lack_memory(Simulator, "step", steps=0)
    return Command("build_evaluation_dataset")()


def play_without_memory() -> int | None:
    """Play until the device has no memory left for a step."""
    _lack_memory(Simulator, "step")
    return Command("play")()


def train_with_a_jumping_clock() -> int | None:
    """Train while the clock jumps a day ahead or back whenever it is read."""
    _let_the_clock_jump()
    return Command("train")()


def play_with_a_jumping_clock() -> int | None:
    """Play while the clock jumps a day ahead or back whenever it is read."""
    _let_the_clock_jump()
    return Command("play")()


def read_shards_impatiently() -> int:
    """Read shards, with a server that is taken to stall after half a second instead of a minute."""
    storage.STALL_TIMEOUT = 0.5  # type: ignore[assignment]
    storage.RETRY_DELAYS = (0.1, 0.1)  # type: ignore[assignment]
    return read_shards()


def _lack_memory(kind: type, name: str, steps: int = STEPS_UNTIL_LACK) -> None:
    """Let a method raise what torch raises when a GPU is full, from some call on."""
    method: Callable[..., Any] = getattr(kind, name)
    calls = itertools.count()

    def replaced(*arguments: Any, **options: Any) -> Any:
        if next(calls) >= steps:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return method(*arguments, **options)

    setattr(kind, name, replaced)


def _let_the_clock_jump() -> None:
    now = time.time
    jumps = itertools.cycle((0.0, DAY, -DAY, 3 * DAY))
    time.time = lambda: now() + next(jumps)

    class Jumping(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Self:
            return super().now(tz) + datetime.timedelta(seconds=next(jumps))

    recording.datetime = SimpleNamespace(datetime=Jumping)  # type: ignore[assignment]

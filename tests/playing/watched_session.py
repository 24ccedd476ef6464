"""A session of a model that computes in no time, which notes what is done."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pygame

from playing.controls import Controls
from playing.recording import Header
from playing.session import Session

FRAME = (80, 96)
"""Width and height in pixels."""


class RollingSimulator:
    """A model whose actions move the picture by as many pixels; noise inverts it."""

    action_space_dimension = 2

    def __init__(self, actions_count: int) -> None:
        self.actions_count = actions_count

    def start(self, stacks: np.ndarray) -> SimpleNamespace:
        return SimpleNamespace(frames=stacks[:, -1])

    def step(self, moment: SimpleNamespace, actions: np.ndarray, variations: np.ndarray | None) -> SimpleNamespace:
        frames = np.roll(moment.frames, actions[0] + 1, axis=2)
        return SimpleNamespace(frames=frames if variations is None else 255 - frames)


class WatchedSession(Session):
    """A session that notes what is done: actions (with an n for noise), 0 for a new start, < for a step back."""

    def __init__(self, actions_count: int = 3, black: bool = False) -> None:
        self.calls: list[str] = []
        simulator: Any = RollingSimulator(actions_count)
        header = Header("rolling", "latest.pth.tar", "", "cpu", seed=7, frame_rate=10)
        shape = (1, FRAME[1], FRAME[0], 3)
        super().__init__(simulator, lambda random: random.integers(0, 1 if black else 256, shape, np.uint8), header)
        self.calls.clear()

    def act(self, action: int, noise: bool = False) -> None:
        super().act(action, noise)
        self.calls.append(f"{action}n" if noise else f"{action}")

    def reset(self) -> None:
        super().reset()
        self.calls.append("0")

    def rewind(self) -> None:
        super().rewind()
        self.calls.append("<")


def hit(controls: Controls, *names: str) -> None:
    """Press and release keys, by pygame's names without `K_`."""
    for name in names:
        controls.press(key(name))
        controls.release(key(name))


def key(name: str) -> int:
    code: int = getattr(pygame, f"K_{name}")
    return code

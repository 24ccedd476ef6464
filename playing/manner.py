"""How a game begins and is controlled. Nothing here waits for torch."""

from dataclasses import dataclass

USUAL_FPS = 10.0
"""Frames a second where neither the player nor the checkpoint says how many."""


@dataclass(frozen=True)
class Manner:
    """How a game of K actions begins and is controlled, whoever decided that.

    Attributes:
        windowed: whether it is in a window instead of on the full screen.
        real_time: whether frames follow each other without a key press.
        fps: frames a second of real time.
        idle_action: what real time does while no key is held, from 1 to K; None goes on with the last action.
        noise: whether actions are taken with noise in their variation.
        action_names: what the K actions are called; None where they have no names.
    """

    windowed: bool = False
    real_time: bool = False
    fps: float = USUAL_FPS
    idle_action: int | None = None
    noise: bool = False
    action_names: tuple[str, ...] | None = None

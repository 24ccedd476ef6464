"""The initial settings of a game's controls.

Importing it does not import torch.
"""

from dataclasses import dataclass

USUAL_FPS = 10.0
"""Frames a second if neither the player nor the checkpoint sets them."""


@dataclass(frozen=True)
class Manner:
    """The initial settings of a game of K actions."""

    windowed: bool = False
    """Whether it opens in a window instead of the full screen."""
    real_time: bool = False
    """Whether frames follow each other without a key press."""
    fps: float = USUAL_FPS
    """Frames a second in real time."""
    idle_action: int | None = None
    """The action, 1 to K, that real time takes while no key is held; None repeats the last action."""
    noise: bool = False
    """Whether actions are taken with noise in their variation."""
    action_names: tuple[str, ...] | None = None
    """The names of the K actions; None if they have none."""

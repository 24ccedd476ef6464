"""Hints of a checkpoint on how to play it: the names of its actions, and the frame rate of real time.

Both are optional: `training.release` stores them. Checkpoints of training have the names of `data.action_names`, or
those given to `play.py --name_actions`.

Dimensions: K actions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.action_names import MAX_NAME_LENGTH, is_action_name
from utils.checkpoint import CheckpointError
from utils.command import UserError

ACTION_NAMES = "action_names"
"""The checkpoint entry with the names of the actions: a list of K strings, in the order of the keys."""

REAL_TIME_FPS = "real_time_fps"
"""The checkpoint entry of a model that is best played in real time: its frames a second, above 0, up to 60."""

MAX_REAL_TIME_FPS = 60

STANDING_STILL = ("stay", "none", "noop", "idle", "wait")
"""Names of actions that do nothing, the same as in `web/page/page.js`."""


@dataclass(frozen=True)
class Hints:
    """The hints of a checkpoint; None for those that it lacks."""

    action_names: tuple[str, ...] | None = None
    """K names."""
    real_time_fps: float | None = None
    """Frames a second."""

    @property
    def idle_action(self) -> int | None:
        """The first action, 1 to K, with a name of `STANDING_STILL` in upper or lower case; None without one."""
        names = [name.lower() for name in self.action_names or ()]
        return next((action for action, name in enumerate(names, start=1) if name in STANDING_STILL), None)


def read_hints(checkpoint: dict[str, Any], path: Path, actions_count: int) -> Hints:
    """Return the hints of a checkpoint of K actions that was loaded from `path`.

    Raises:
        CheckpointError: the names are not K strings of 1 to 32 printable characters, or the frames a second are not a
            number above 0, up to 60.
    """
    names, fps = checkpoint.get(ACTION_NAMES), checkpoint.get(REAL_TIME_FPS)
    if names is not None and not (
        isinstance(names, list) and len(names) == actions_count and all(map(is_action_name, names))
    ):
        raise CheckpointError(
            f"{path}: its {ACTION_NAMES} are not {actions_count} names of 1 to {MAX_NAME_LENGTH} printable characters; "
            f"store others with python -m training.release --{ACTION_NAMES}"
        )
    if fps is not None and not is_real_time_fps(fps):
        raise CheckpointError(
            f"{path}: its {REAL_TIME_FPS} is no number above 0, up to {MAX_REAL_TIME_FPS}; store another with "
            f"python -m training.release --{REAL_TIME_FPS}"
        )
    return Hints(None if names is None else tuple(names), fps)


def require_action_names(names: Sequence[str], actions_count: int) -> None:
    """Check the names given on the command line.

    Raises:
        UserError: they are not K names of 1 to 32 printable characters.
    """
    if len(names) != actions_count:
        raise UserError(
            f"--{ACTION_NAMES}: {len(names)} names for the {actions_count} actions of this model; give {actions_count}"
        )
    if unfit := [name for name in names if not is_action_name(name)]:
        raise UserError(f"--{ACTION_NAMES}: {unfit[0]!a} is no name of 1 to {MAX_NAME_LENGTH} printable characters")


def is_real_time_fps(value: Any) -> bool:
    """Whether a value is a number above 0, up to 60."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_REAL_TIME_FPS

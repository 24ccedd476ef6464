"""What an evaluation during training learns about Breakout's ball, if that is what the frames show.

Dimensions: B sequences of T frames, H x W pixels.
"""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from evaluation.breakout.ball import balls_drawn
from evaluation.breakout.tracking import Playfield
from utils.command import UserError
from utils.images import to_uint8

OWN_FRAMES = 10
"""The number of the own frame, from 1, in which the ball is looked for."""


def probe_breakout(
    true: Tensor, made: Tensor, context: int, one_step: Callable[[], Tensor] | None = None
) -> dict[str, np.ndarray]:
    """Whether the ball is drawn where it is, in those frames in which it has just moved.

    Args:
        true: float (B, T, 3, H, W) in [-1, 1].
        made: float (B, T-1, 3, H, W), what was generated in place of all but the first.
        context: how many true frames that followed.
        one_step: returns the same if each frame follows true ones; not called for footage of something else.

    Returns:
        0 or 1 of each such frame (N,), by the names of the figures whose samples they are: "ball drawn 10 own", of the
        tenth own frame, and with `one_step` "ball drawn one step", of those that follow `context` true ones at least.
        Nothing without such frames, as of other footage.
    """
    frames = _pixels(true)
    try:
        playfield = Playfield.of(frames.reshape(-1, *frames.shape[2:]))
    except UserError:  # it is not of Breakout
        return {}

    def drawn(made: Tensor, steps: slice) -> np.ndarray:
        parts = (frames[:, :-1], frames[:, 1:], _pixels(made))
        found = balls_drawn(playfield, *(part[:, steps].reshape(-1, *part.shape[2:]) for part in parts))
        return found[~np.isnan(found)]

    first = context - 1
    samples = {f"ball drawn {OWN_FRAMES} own": drawn(made, slice(first + OWN_FRAMES - 1, first + OWN_FRAMES))}
    if one_step:
        samples["ball drawn one step"] = drawn(one_step(), slice(first, None))
    return {name: values for name, values in samples.items() if len(values)}


def _pixels(frames: Tensor) -> np.ndarray:
    """Frames (B, T, 3, H, W) in [-1, 1] as uint8 (B, T, H, W, 3)."""
    return to_uint8(frames).movedim(2, -1).cpu().numpy()

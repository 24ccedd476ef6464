"""The part of the evaluation during training that measures Breakout's ball, if the frames show Breakout.

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
"""The generated frame after the context, counted from 1, in which the ball is looked for."""


def probe_breakout(
    true: Tensor, made: Tensor, context: int, one_step: Callable[[], Tensor] | None = None
) -> dict[str, np.ndarray]:
    """Measure whether the ball is drawn in its true place, in the frames in which it has just moved.

    Args:
        true: float (B, T, 3, H, W) in [-1, 1].
        made: float (B, T-1, 3, H, W), the generated frames in place of all but the first.
        context: number of true frames before the first generated one.
        one_step: returns frames like `made`, each generated from true frames; not called for other footage.

    Returns:
        Samples (N,) of 0 or 1 by the name of the figure: "ball drawn 10 own" for the tenth generated frame, and with
        `one_step` "ball drawn one step" for the frames that follow at least `context` true ones. Empty for other
        footage, or if there are no such frames.
    """
    frames = _pixels(true)
    try:
        playfield = Playfield.of(frames.reshape(-1, *frames.shape[2:]))
    except UserError:  # the frames do not show Breakout
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
    """Convert frames (B, T, 3, H, W) in [-1, 1] to uint8 (B, T, H, W, 3)."""
    return to_uint8(frames).movedim(2, -1).cpu().numpy()

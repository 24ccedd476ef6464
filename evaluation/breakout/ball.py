"""Accuracy of the ball in generated frames of Breakout, compared with the true frames of the same moment.

Only frames in which the true ball has just moved are counted: in these, copying the ball at its old place is no better
than omitting it. Limits are for frames 80 pixels wide, and scale with the width.

Dimensions: N frames of H x W pixels.
"""

from dataclasses import dataclass

import numpy as np

from evaluation.breakout.measures import SampleMean
from evaluation.breakout.tracking import Playfield

REFERENCE_WIDTH = 80
LEAST_MOVE = 4.0
"""Pixels, horizontal plus vertical, that a ball has to move in a step for its frame to count."""
NEAR = 1.5
"""Maximum distance in pixels from the true ball."""
NEAR_PADDLE = 2.0
"""Maximum distance in pixels from the true paddle."""


@dataclass(frozen=True)
class Drawn:
    """Differences from the true frames, over frames in which the true ball has just moved.

    Shares lie in [0, 1].
    """

    ball: SampleMean
    """Share of the frames with a ball in the place of the true one."""
    one_ball: SampleMean
    """Share of the frames with exactly one ball, anywhere."""
    colour_difference: SampleMean
    """Mean absolute difference from the true colour, in 0..255, over the pixels of the true ball."""
    paddle: SampleMean
    """Share of the frames with the paddle in its true place, of those whose true frame shows it."""
    l1: SampleMean
    """Mean absolute difference of all pixels, in [-1, 1]."""


def measure_drawn(playfield: Playfield, before: np.ndarray, true: np.ndarray, made: np.ndarray) -> Drawn:
    """Compare generated frames with true ones.

    Args:
        playfield: the layout of true frames.
        before: uint8 (N, H, W, 3), the true frames one step earlier.
        true: uint8 (N, H, W, 3), the true frames.
        made: uint8 (N, H, W, 3), the generated frames.
    """
    drawn = balls_drawn(playfield, before, true, made)
    counts = ~np.isnan(drawn)
    true, made = true[counts], made[counts]
    return Drawn(
        ball=SampleMean.of(drawn),
        one_ball=SampleMean.of(playfield.find_balls(made).count == 1),
        colour_difference=SampleMean.of(_colour_differences(playfield, true, made)),
        paddle=SampleMean.of(_paddles_drawn(playfield, true, made)),
        l1=SampleMean.of(_differences(true, made).mean(axis=(1, 2, 3)) / 127.5),
    )


def balls_drawn(playfield: Playfield, before: np.ndarray, true: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return whether each frame shows a ball in the true place: float (N,), NaN unless the true ball has just moved.

    The arguments are those of `measure_drawn`. Movement is known only if both true frames show exactly one ball.
    """
    scale = true.shape[2] / REFERENCE_WIDTH
    old, now = playfield.find_balls(before), playfield.find_balls(true)
    has_moved = np.abs(now.x - old.x) + np.abs(now.y - old.y) >= LEAST_MOVE * scale
    distances = playfield.find_balls(made).nearest(now.x, now.y)
    return np.where(has_moved, distances <= NEAR * scale, np.nan)


def _colour_differences(playfield: Playfield, true: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference over the true ball's pixels: (N,).

    Each true frame has to show a ball.
    """
    is_ball = playfield.ball_pixels(true)
    frame = np.nonzero(is_ball)[0]
    differences = _differences(true[is_ball], made[is_ball]).mean(axis=1)
    means: np.ndarray = np.bincount(frame, differences, len(true)) / np.bincount(frame, minlength=len(true))
    return means


def _paddles_drawn(playfield: Playfield, true: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return whether the paddle is in its true place: float (N,), NaN if the true frame does not show it."""
    positions = playfield.paddle(true)
    is_near = np.abs(playfield.paddle(made) - positions) <= NEAR_PADDLE * true.shape[2] / REFERENCE_WIDTH
    return np.where(np.isnan(positions), np.nan, is_near)


def _differences(true: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return the absolute differences of uint8 arrays of one shape: int16."""
    return np.abs(true.astype(np.int16) - made)

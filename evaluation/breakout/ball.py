"""Is the ball drawn where it is now? Frames that a model generates, compared with the true ones of the same moment.

Only the frames count in which the true ball has just moved: a ball that is copied at its old place is then no nearer
than one that is missing. Limits hold for frames of 80 pixels' width and grow with it.

Dimensions: N frames of H x W pixels.
"""

from dataclasses import dataclass

import numpy as np

from evaluation.breakout.measures import SampleMean
from evaluation.breakout.tracking import Playfield

REFERENCE_WIDTH = 80
LEAST_MOVE = 4.0
"""Pixels, across and down together, that a ball moves in a step if its frame counts."""
NEAR = 1.5
"""Pixels from the true ball within which a ball is taken for it."""
NEAR_PADDLE = 2.0
"""The same of the paddle."""


@dataclass(frozen=True)
class Drawn:
    """How frames differ from the true ones, of those in which the true ball has just moved. Shares lie in [0, 1]."""

    ball: SampleMean
    """Share of the frames with a ball where the true one is now."""
    one_ball: SampleMean
    """Share of the frames with exactly one ball, wherever it is."""
    colour_difference: SampleMean
    """Mean absolute difference from the true colour, in 0..255, of the pixels where the true ball is now."""
    paddle: SampleMean
    """Share of the frames with the paddle where the true one is, of those that truly show it."""
    l1: SampleMean
    """Mean absolute difference of all pixels, in [-1, 1]."""


def measure_drawn(playfield: Playfield, before: np.ndarray, true: np.ndarray, made: np.ndarray) -> Drawn:
    """Compare generated frames with true ones.

    Args:
        playfield: what stands where in true frames.
        before: uint8 (N, H, W, 3), the true frames one step earlier.
        true: uint8 (N, H, W, 3).
        made: uint8 (N, H, W, 3), what was generated in their place.
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
    """Whether each frame shows a ball where the true one is: float (N,), NaN unless that has just moved.

    The arguments are those of `measure_drawn`. A true ball has moved if it is the only one in both true frames.
    """
    scale = true.shape[2] / REFERENCE_WIDTH
    old, now = playfield.find_balls(before), playfield.find_balls(true)
    has_moved = np.abs(now.x - old.x) + np.abs(now.y - old.y) >= LEAST_MOVE * scale
    distances = playfield.find_balls(made).nearest(now.x, now.y)
    return np.where(has_moved, distances <= NEAR * scale, np.nan)


def _colour_differences(playfield: Playfield, true: np.ndarray, made: np.ndarray) -> np.ndarray:
    """The mean absolute difference of the pixels that the ball covers in true frames, each of which shows one: (N,)."""
    is_ball = playfield.ball_pixels(true)
    frame = np.nonzero(is_ball)[0]
    differences = _differences(true[is_ball], made[is_ball]).mean(axis=1)
    means: np.ndarray = np.bincount(frame, differences, len(true)) / np.bincount(frame, minlength=len(true))
    return means


def _paddles_drawn(playfield: Playfield, true: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Whether the paddle is where it truly is: float (N,), NaN where that is not found."""
    positions = playfield.paddle(true)
    is_near = np.abs(playfield.paddle(made) - positions) <= NEAR_PADDLE * true.shape[2] / REFERENCE_WIDTH
    return np.where(np.isnan(positions), np.nan, is_near)


def _differences(true: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Absolute differences of uint8 arrays of one shape: int16."""
    return np.abs(true.astype(np.int16) - made)

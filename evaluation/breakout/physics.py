"""Physics of the ball in long games of Breakout: is it reflected, does it break bricks, is it served again?

The limits are measured on true play. The ball is followed in frames with exactly one ball; a step longer than any true
one is not a movement but another ball.

*Bounces* are reversals of the ball's horizontal or vertical direction within a few steps. They are classified by what
can reflect the ball there: a side wall, the paddle, a brick, the ceiling, or nothing. The step of the reflection shows
neither the speed before nor the one after; these are taken from the steps around it.

Dimensions: T frames of a sequence, P brick pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.breakout.measures import EXTREME, Readings, SampleMean, quantile
from evaluation.breakout.tracking import Balls, Playfield, is_black

LONGEST_TURN = 4
"""Maximum number of steps between the last one before a reversal and the first one after it; in between the ball may be
hidden or stand still."""

BREAKING = 2
"""Number of frames after a bounce off a brick within which the brick has to vanish."""

AROUND = 2
"""Number of frames before and after the loss of a brick in one of which a ball has to be near."""

NEAR_STEPS = 2
"""Maximum distance of a visible ball from a brick that it breaks, in steps of the greatest length; among bricks the
ball is not visible."""

WALL, PADDLE, BRICK, CEILING, NOTHING = "wall", "paddle", "brick", "ceiling", "nothing"


@dataclass(frozen=True)
class Bounce:
    """A reversal of the ball's direction."""

    kind: str
    first: int
    """The frame before the last step in the old direction."""
    last: int
    """The frame after the first step in the new direction."""
    before: np.ndarray
    """float (2,): horizontal and vertical speed in pixels a step; NaN where unknown."""
    after: np.ndarray
    """float (2,): the same after the reversal."""


@dataclass(frozen=True)
class BallLaws:
    """Limits of the ball's movement in true play."""

    reach: np.ndarray
    """float (2,): maximum horizontal and vertical movement in a step, in pixels."""
    rise: tuple[float, float]
    """Minimum and maximum upward speed after a bounce off the paddle, in pixels a step."""
    longest_absence: float
    """Maximum number of frames for which it is out of sight, as while it is served."""

    @classmethod
    def of(cls, playfield: Playfield, readings: Readings) -> "BallLaws":
        """Measure the limits in true play."""
        tracks = [np.stack([balls.x, balls.y], axis=1) for balls in readings.balls]
        steps = np.abs(np.concatenate([np.diff(track, axis=0) for track in tracks]))
        reach = np.array([quantile(steps[:, axis], EXTREME) for axis in range(2)])
        pairs = zip(readings.balls, readings.positions, strict=True)
        bounces = [bounce for balls, paddle in pairs for bounce in find_bounces(playfield, reach, balls, paddle)]
        rises = np.array([bounce.after[1] for bounce in bounces if bounce.kind == PADDLE])
        absences = np.array([length for balls in readings.balls for length in _absences(balls, np.inf)])
        return cls(reach, (quantile(rises, 1 - EXTREME), quantile(rises, EXTREME)), quantile(absences, EXTREME))


@dataclass(frozen=True)
class Physics:
    """Figures of the ball's behaviour in sequences of frames.

    Shares lie in [0, 1].
    """

    wall_bounces: SampleMean
    paddle_bounces: SampleMean
    brick_bounces: SampleMean
    ceiling_bounces: SampleMean
    nothing_bounces: SampleMean
    """Bounces off each of these per 100 frames."""
    wall_speed_change: SampleMean
    paddle_speed_change: SampleMean
    brick_speed_change: SampleMean
    """Mean change of the ball's speed by a bounce off each of these, horizontal plus vertical, in pixels a step."""
    paddle_rise_possible: SampleMean
    """Share of the bounces off the paddle after which the ball rises at a speed that occurs in true play."""
    bricks_break: SampleMean
    """Share of the bounces off bricks at which more brick pixels near the ball vanish than the ball could hide."""
    losses_without_ball: SampleMean
    """Share of the brick pixels turning black that do so while no ball is near."""
    served: SampleMean
    """Share of the times without a visible ball that end no later than in true play."""


def measure_physics(playfield: Playfield, laws: BallLaws, readings: Readings) -> Physics:
    """Measure the ball's behaviour in sequences.

    Args:
        playfield: the layout of true frames.
        laws: the limits of the true ball's movement.
        readings: the readings of the sequences.
    """
    bounces: list[Bounce] = []
    breaks, losses, served = [], [], []
    for frames, balls, paddle in zip(readings.frames, readings.balls, readings.positions, strict=True):
        found = list(find_bounces(playfield, laws.reach, balls, paddle))
        bounces += found
        lost_at = _lost_at(playfield, frames)
        breaks += _breaks(playfield, laws, balls, found, lost_at)
        losses.append(_losses_without_ball(playfield, laws, balls, lost_at))
        served += [length <= laws.longest_absence for length in _absences(balls, laws.longest_absence)]
    num_frames = readings.positions.size - len(readings.positions)
    kinds = np.array([bounce.kind for bounce in bounces], np.str_)
    changes = np.array([np.abs(bounce.after - bounce.before).sum() for bounce in bounces])
    rises = np.array([bounce.after[1] for bounce in bounces if bounce.kind == PADDLE and np.isfinite(bounce.after[1])])
    return Physics(
        **{
            f"{kind}_bounces": SampleMean(100 * float((kinds == kind).sum()) / num_frames, num_frames)
            for kind in (WALL, PADDLE, BRICK, CEILING, NOTHING)
        },
        **{f"{kind}_speed_change": SampleMean.of(changes[kinds == kind]) for kind in (WALL, PADDLE, BRICK)},
        paddle_rise_possible=SampleMean.of((rises >= laws.rise[0]) & (rises <= laws.rise[1])),
        bricks_break=SampleMean.of(np.array(breaks)),
        losses_without_ball=SampleMean.of(np.concatenate(losses)),
        served=SampleMean.of(np.array(served)),
    )


def find_bounces(playfield: Playfield, reach: np.ndarray, balls: Balls, paddle: np.ndarray) -> Iterator[Bounce]:
    """Find the reversals of the ball's direction in a sequence.

    Args:
        playfield: the layout of true frames.
        reach: (2,), see `BallLaws`.
        balls: the balls in the T frames.
        paddle: (T,) x of the paddle, NaN where it is not found.
    """
    track = np.stack([balls.x, balls.y], axis=1)
    steps = np.diff(track, axis=0)
    steps[(np.abs(steps) > reach + 1).any(axis=1)] = np.nan
    for axis, name in enumerate((_across, _up_or_down)):
        for first, last in _turns(steps[:, axis]):
            hidden = last - first - 1
            if (np.abs(track[last] - track[first + 1]) > hidden * (reach + 1)).any():
                continue
            places = slice(first, last + 2)
            kind = name(playfield, reach, track[places], paddle[places], steps[first, axis])
            yield Bounce(kind, first, last + 1, _speed(steps, first, -1, axis), _speed(steps, last, 1, axis))


def _turns(steps: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the last step before and the first step after each reversal of the sign of steps (T-1,)."""
    moving = np.flatnonzero(np.isfinite(steps) & (steps != 0))
    signs = np.sign(steps[moving])
    for index in np.flatnonzero(signs[1:] != signs[:-1]):
        first, last = int(moving[index]), int(moving[index + 1])
        if last - first - 1 <= LONGEST_TURN:
            yield first, last


def _speed(steps: np.ndarray, turn: int, way: int, axis: int) -> np.ndarray:
    """Return the speeds (2,) one step further from a reversal than `turn`; NaN if the direction along `axis` differs.

    Args:
        steps: (T-1, 2) movements of the ball.
        turn: the step next to the reversal.
        way: -1 for the step before `turn`, 1 for the step after it.
        axis: 0 for horizontal, 1 for vertical.
    """
    beside = turn + way
    if not 0 <= beside < len(steps) or steps[beside, axis] * steps[turn, axis] <= 0:
        return np.full(2, np.nan)
    speed: np.ndarray = np.abs(steps[beside])
    return speed


def _across(playfield: Playfield, reach: np.ndarray, track: np.ndarray, paddle: np.ndarray, _step: float) -> str:
    """Return what reverses the ball horizontally at places (N, 2), given the paddle's positions (N,)."""
    columns = np.flatnonzero(playfield.air.any(axis=0))
    x, y = track.T
    if min(np.nanmin(x) - columns[0], columns[-1] + 1 - np.nanmax(x)) <= reach[0]:
        return WALL
    if _is_at_paddle(playfield, reach, track, paddle):
        return PADDLE
    return BRICK if np.nanmin(y) <= playfield.lowest_brick else NOTHING


def _up_or_down(playfield: Playfield, reach: np.ndarray, track: np.ndarray, paddle: np.ndarray, step: float) -> str:
    """Return what reverses the ball vertically at places (N, 2), given the paddle's positions (N,)."""
    y = track[:, 1]
    if step > 0 and _is_at_paddle(playfield, reach, track, paddle):
        return PADDLE
    if step < 0 and np.nanmin(y) <= np.flatnonzero(playfield.air.any(axis=1))[0] + reach[1]:
        return CEILING
    return BRICK if np.nanmin(y) <= playfield.lowest_brick + reach[1] else NOTHING


def _is_at_paddle(playfield: Playfield, reach: np.ndarray, track: np.ndarray, paddle: np.ndarray) -> bool:
    distances = np.abs(track[:, 0] - paddle)
    is_low = np.nanmax(track[:, 1]) >= playfield.paddle.top - reach[1]
    return bool(is_low and (distances <= playfield.paddle.width / 2 + reach[0]).any())


def _lost_at(playfield: Playfield, frames: np.ndarray) -> np.ndarray:
    """Return the first frame in which each brick pixel is black: int (P,), T if it never is.

    Args:
        playfield: the layout of true frames.
        frames: uint8 (T, H, W, 3).
    """
    is_gone = is_black(frames[:, playfield.bricks])
    return np.where(is_gone.any(axis=0), is_gone.argmax(axis=0), len(frames))


def _breaks(
    playfield: Playfield, laws: BallLaws, balls: Balls, bounces: Sequence[Bounce], lost_at: np.ndarray
) -> list[bool]:
    """Return whether each bounce off a brick breaks one."""
    pixels = _brick_pixels(playfield)
    breaks = []
    for bounce in bounces:
        if bounce.kind == BRICK:
            is_lost = (lost_at > bounce.first) & (lost_at <= bounce.last + BREAKING)
            is_near = _is_near(balls, pixels[is_lost], NEAR_STEPS * laws.reach, bounce.first, bounce.last)
            breaks.append(bool(is_near.sum() > playfield.largest_ball(playfield.bricks.shape[1])))
    return breaks


def _losses_without_ball(playfield: Playfield, laws: BallLaws, balls: Balls, lost_at: np.ndarray) -> np.ndarray:
    """Return, for each brick pixel that vanishes, whether no ball is near: bool, 1-D."""
    pixels = _brick_pixels(playfield)
    parts = [np.zeros(0, np.bool_)]
    for frame in np.unique(lost_at[(lost_at > 0) & (lost_at < len(balls.count))]):
        lost = pixels[lost_at == frame]
        parts.append(~_is_near(balls, lost, NEAR_STEPS * laws.reach, frame - AROUND, frame + AROUND))
    return np.concatenate(parts)


def _brick_pixels(playfield: Playfield) -> np.ndarray:
    """Return the x and y of the centres of the brick pixels: float (P, 2)."""
    return np.argwhere(playfield.bricks)[:, ::-1] + 0.5


def _is_near(balls: Balls, places: np.ndarray, reach: np.ndarray, first: int, last: int) -> np.ndarray:
    """Return whether places (N, 2) are within reach (2,) of a ball in the frames `first` to `last`: bool (N,)."""
    chosen = balls.centres[(balls.frames >= first) & (balls.frames <= last)]
    distances = np.abs(places[:, np.newaxis] - chosen)  # (N, balls, 2)
    near: np.ndarray = (distances <= reach).all(axis=2).any(axis=1)
    return near


def _absences(balls: Balls, longest: float) -> Iterator[int]:
    """Yield the lengths of runs of frames without a ball; the one at the sequence's end only if above `longest`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], balls.count == 0, [False]])))
    for start, end in edges.reshape(-1, 2):
        if end < len(balls.count) or end - start > longest:
            yield int(end - start)

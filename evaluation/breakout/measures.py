"""Figures of Breakout's play: does the paddle obey, and does the rest of the game stay intact?

The limits are measured on true play, so that they fit any frame size:

- *Obeyed*: the paddle moves in the pressed direction, further than it slides on after a release; the limit is halfway
  between the longest true slide and the shortest true move. It stays if it moves no further than that or, if it was
  told to stay at the previous step too, no further than halfway between its longest such movement in true play and the
  shortest true move. Presses at a wall, and towards a wall that is nearer than the shortest true move, are not counted.
  If the paddle is not found before or after a step, the step counts as disobeyed.
- *Leaves the wall*: after two steps of a press away from a wall (in the first one the game itself may hold it back),
  the paddle has moved further than it slides on after a release.

Dimensions: G sequences or games, T frames of each, H x W pixels.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from evaluation.breakout.tracking import TOLERANCE, Balls, Playfield, is_black

EXTREME = 0.99
"""The quantile taken as the largest true distance, and one minus it as the smallest, so that a single odd frame does
not set the limit."""

NEAR_WALL = 1
"""Distance in pixels from the outermost positions within which a wall may stop the paddle."""

LONGEST_ABSENCE = 10
"""Maximum number of frames for which a ball in play may be out of sight, among bricks or while it is served."""

WINDOW = 50
"""Number of frames averaged for a point of a curve."""

STAY, LEFT, RIGHT = 0, -1, 1
MEANINGS = {STAY: "stay", LEFT: "left", RIGHT: "right"}
"""The meanings of actions, by the sign of the paddle's movement."""


@dataclass(frozen=True)
class SampleMean:
    """A measured mean and its number of samples."""

    value: float | None
    """None without samples."""
    samples: int

    @classmethod
    def of(cls, values: np.ndarray) -> "SampleMean":
        """Average the numbers that are not NaN."""
        known = values[~np.isnan(values)]
        return cls(float(np.mean(known)) if known.size else None, known.size)

    def __str__(self) -> str:
        return "-" if self.value is None else f"{self.value:.3f}"


@dataclass(frozen=True)
class PaddleLaws:
    """Limits of the paddle's movement in true play, in pixels."""

    leftmost: float
    rightmost: float
    shortest_move: float
    """Minimum movement by a press that neither begins nor ends at a wall."""
    longest_slide: float
    """Maximum movement during a stay after a press."""
    longest_rest: float
    """Maximum movement during a stay after a stay."""

    @classmethod
    def of(cls, positions: np.ndarray, pressed: np.ndarray) -> "PaddleLaws":
        """Measure the limits in true play.

        Args:
            positions: (G, T) x of the paddle, NaN where it is not found.
            pressed: (G, T-1) meaning of each step's action: -1, 0 or 1.
        """
        distances = np.abs(np.diff(positions))
        leftmost, rightmost = float(np.nanmin(positions)), float(np.nanmax(positions))
        is_at_wall = (positions <= leftmost + NEAR_WALL) | (positions >= rightmost - NEAR_WALL)
        is_free = ~is_at_wall[:, :-1] & ~is_at_wall[:, 1:]
        stays, follows_press = pressed == STAY, _follows_press(pressed)
        return cls(
            leftmost,
            rightmost,
            shortest_move=quantile(distances[~stays & is_free], 1 - EXTREME),
            longest_slide=quantile(distances[stays & follows_press], EXTREME),
            longest_rest=quantile(distances[stays & ~follows_press], EXTREME),
        )

    def obeyed(self, positions: np.ndarray, pressed: np.ndarray) -> np.ndarray:
        """Return whether each step obeys: float (G, T-1), NaN for presses at or too near a wall."""
        movements = np.diff(positions)
        before = positions[:, :-1]
        room_left, room_right = before - self.leftmost, self.rightmost - before
        room = np.where(pressed == LEFT, room_left, room_right)
        is_at_wall = np.minimum(room_left, room_right) <= NEAR_WALL
        resting = (self.longest_rest + self.shortest_move) / 2
        limits = np.where(_follows_press(pressed), self._visible_move, resting)
        obeyed = np.where(pressed == STAY, np.abs(movements) <= limits, movements * pressed > self._visible_move)
        return np.where((pressed != STAY) & (is_at_wall | (room < self.shortest_move)), np.nan, obeyed)

    def leaves_wall(self, positions: np.ndarray, pressed: np.ndarray) -> np.ndarray:
        """Return whether each two-step press away from a wall moves a paddle at this wall: float, 1-D."""
        before, after = positions[:, :-2], positions[:, 2:]
        away = (before <= self.leftmost + NEAR_WALL).astype(int) - (before >= self.rightmost - NEAR_WALL)
        is_pressed_away = (away != STAY) & (pressed[:, :-1] == away) & (pressed[:, 1:] == away)
        leaves: np.ndarray = ((after - before) * away > self._visible_move)[is_pressed_away].astype(float)
        return leaves

    @property
    def _visible_move(self) -> float:
        """The distance that separates moves from slides."""
        return (self.longest_slide + self.shortest_move) / 2


@dataclass(frozen=True)
class Measures:
    """Figures of sequences of frames, generated or true.

    Shares lie in [0, 1].
    """

    pressed_way: SampleMean
    """Share of the steps that obey."""
    stay: SampleMean
    left: SampleMean
    right: SampleMean
    """Share of the steps with each meaning that obey."""
    leaves_wall: SampleMean
    """Share of the two-step presses away from a wall that move the paddle."""
    pressed_way_in_sight: SampleMean
    """Share of the steps that obey, of those before and after which the paddle is found."""
    drift: SampleMean
    """Mean movement of the paddle in pixels during a stay after a stay."""
    paddle_found: SampleMean
    """Share of the frames that show the paddle."""
    walls_difference: SampleMean
    """Mean absolute difference of wall pixels from the true ones, in 0..255, averaged over frames."""
    bricks_intact: SampleMean
    """Share of brick pixels that are as in the sequence's first frame, or black for good, averaged over frames."""
    bricks_gone: SampleMean
    """Share of brick pixels that turn black from a sequence's first frame to its last, averaged over sequences."""
    ball_frames: SampleMean
    """Last frame with a ball before it is out of sight for longer than `LONGEST_ABSENCE`, averaged over the sequences
    whose first frame, number 0, shows it."""
    one_ball: SampleMean
    """Share of the frames with exactly one ball."""
    plausible_bounces: SampleMean
    """Share of the ball's vertical reversals that have a cause within the longest step of the true ball: upwards the
    paddle, downwards the bricks or what is above them."""


def find_paddles(playfield: Playfield, frames: np.ndarray) -> np.ndarray:
    """Return the x of the paddle in frames (G, T, H, W, 3): (G, T), NaN where it is not found."""
    return np.stack([playfield.paddle(sequence) for sequence in frames])


@dataclass(frozen=True)
class Readings:
    """Values measured in sequences of frames, generated or true, step by step."""

    frames: np.ndarray
    """uint8 (G, T, H, W, 3); the first of each sequence is not measured but compared with."""
    pressed: np.ndarray
    """(G, T-1) meanings of the actions: -1, 0 or 1."""
    positions: np.ndarray
    """(G, T) x of the paddle, NaN where it is not found."""
    balls: tuple[Balls, ...]
    """The balls in the T frames of each sequence."""
    obeyed: np.ndarray
    """float (G, T-1), see `PaddleLaws.obeyed`."""
    walls_difference: np.ndarray
    """(G, T-1) in 0..255, see `walls_difference`."""
    bricks_intact: np.ndarray
    """(G, T-1), see `bricks_intact`."""

    @classmethod
    def of(cls, playfield: Playfield, laws: PaddleLaws, frames: np.ndarray, pressed: np.ndarray) -> "Readings":
        """Measure sequences of frames (G, T, H, W, 3) with presses (G, T-1)."""
        positions = find_paddles(playfield, frames)
        return cls(
            frames,
            pressed,
            positions,
            balls=tuple(playfield.find_balls(sequence) for sequence in frames),
            obeyed=laws.obeyed(positions, pressed),
            walls_difference=np.stack([walls_difference(playfield, sequence[1:]) for sequence in frames]),
            bricks_intact=np.stack([bricks_intact(playfield, sequence) for sequence in frames]),
        )

    @property
    def paddle_found(self) -> np.ndarray:
        """Whether the paddle is found: bool (G, T-1)."""
        return np.isfinite(self.positions[:, 1:])

    @property
    def one_ball(self) -> np.ndarray:
        """Whether exactly one ball is visible: bool (G, T-1)."""
        return np.stack([balls.count[1:] == 1 for balls in self.balls])


def measure(playfield: Playfield, laws: PaddleLaws, reach: float, readings: Readings) -> Measures:
    """Summarise the readings of sequences of frames.

    Args:
        playfield: the layout of true frames.
        laws: the limits of the true paddle's movement.
        reach: maximum vertical movement of the true ball in a step, in pixels, see `ball_reach`.
        readings: the readings of the sequences.
    """
    positions, pressed, obeyed = readings.positions, readings.pressed, readings.obeyed
    by_meaning = {name: SampleMean.of(obeyed[pressed == meaning]) for meaning, name in MEANINGS.items()}
    rests = (pressed == STAY) & ~_follows_press(pressed)
    balls = [follow_ball(playfield, reach, *pair) for pair in zip(readings.balls, positions, strict=True)]
    return Measures(
        pressed_way=SampleMean.of(obeyed),
        **by_meaning,
        leaves_wall=SampleMean.of(laws.leaves_wall(positions, pressed)),
        pressed_way_in_sight=SampleMean.of(obeyed[np.isfinite(np.diff(positions))]),
        drift=SampleMean.of(np.abs(np.diff(positions)[rests])),
        paddle_found=SampleMean.of(readings.paddle_found),
        walls_difference=SampleMean.of(readings.walls_difference),
        bricks_intact=SampleMean.of(readings.bricks_intact),
        bricks_gone=SampleMean.of(np.array([bricks_gone(playfield, sequence) for sequence in readings.frames])),
        ball_frames=SampleMean.of(np.array([ball.last_seen for ball in balls])),
        one_ball=SampleMean.of(readings.one_ball),
        plausible_bounces=SampleMean.of(np.concatenate([ball.bounces for ball in balls])),
    )


@dataclass(frozen=True)
class Curves:
    """Means over all sequences and windows of `WINDOW` frames, the last of which may be shorter; None without samples.

    The fields mean the same as in `Measures`.
    """

    first_frame: list[int]
    """The number of each window's first frame. Frame 0, the sequence's first, is in no window."""
    pressed_way: list[float | None]
    paddle_found: list[float | None]
    one_ball: list[float | None]
    bricks_intact: list[float | None]
    walls_difference: list[float | None]

    @classmethod
    def of(cls, readings: Readings) -> "Curves":
        """Average readings window by window."""
        return cls(
            first_frame=list(range(1, readings.positions.shape[1], WINDOW)),
            pressed_way=_window_means(readings.obeyed),
            paddle_found=_window_means(readings.paddle_found),
            one_ball=_window_means(readings.one_ball),
            bricks_intact=_window_means(readings.bricks_intact),
            walls_difference=_window_means(readings.walls_difference),
        )


def _window_means(values: np.ndarray) -> list[float | None]:
    """Return the mean of the values (G, T-1) that are not NaN in each window."""
    windows = (values[:, first : first + WINDOW] for first in range(0, values.shape[1], WINDOW))
    return [SampleMean.of(window).value for window in windows]


def walls_difference(playfield: Playfield, frames: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference of wall pixels from the true ones in frames (N, H, W, 3): (N,) in 0..255."""
    true = playfield.picture[playfield.walls].astype(np.int16)
    mean: np.ndarray = np.abs(frames[:, playfield.walls] - true).mean(axis=(1, 2))
    return mean


def bricks_intact(playfield: Playfield, frames: np.ndarray) -> np.ndarray:
    """Return the share of brick pixels that are intact or gone in the frames (T, H, W, 3) of a sequence: (T-1,).

    Intact pixels are as in the first frame, to `TOLERANCE`, and were never gone; gone ones are black.
    """
    bricks = frames[:, playfield.bricks].astype(np.int16)  # (T, pixels, 3)
    is_gone = is_black(bricks)
    was_gone = np.logical_or.accumulate(is_gone)[:-1]
    is_whole = (np.abs(bricks - bricks[0]) <= TOLERANCE).all(axis=-1)
    share: np.ndarray = (is_gone[1:] | (is_whole[1:] & ~was_gone)).mean(axis=1)
    return share


def bricks_gone(playfield: Playfield, frames: np.ndarray) -> float:
    """Return the share of brick pixels that are black in the last frame, of those that are not in the first.

    Args:
        playfield: the layout of true frames.
        frames: uint8 (T, H, W, 3).

    Returns:
        A share in [0, 1]; 0 if all are black in the first frame.
    """
    first, last = is_black(frames[[0, -1]][:, playfield.bricks])
    return float(last[~first].mean()) if not first.all() else 0.0


@dataclass(frozen=True)
class BallInPlay:
    """The ball in one sequence of T frames."""

    last_seen: float
    """The last frame before it is out of sight for longer than `LONGEST_ABSENCE`; NaN if frame 0 does not show it."""
    bounces: np.ndarray
    """bool: whether each reversal of its vertical direction is plausible."""


def follow_ball(playfield: Playfield, reach: float, balls: Balls, positions: np.ndarray) -> BallInPlay:
    """Follow the ball through the T frames of a sequence, given the paddle's positions (T,)."""
    seen = np.flatnonzero(balls.count)
    gaps = np.flatnonzero(np.diff(seen) > LONGEST_ABSENCE + 1)
    last_seen = float(seen[gaps[0] if len(gaps) else -1]) if balls.count[0] else np.nan
    bounces = np.array(_bounces(playfield, reach, balls.x, balls.y, positions), np.bool_)
    return BallInPlay(last_seen, bounces)


def _bounces(playfield: Playfield, reach: float, x: np.ndarray, y: np.ndarray, positions: np.ndarray) -> list[bool]:
    """Return whether each reversal of a ball's vertical direction is plausible."""
    bounces = []
    last_direction = 0.0
    for frame in np.flatnonzero(np.isfinite(np.diff(y)) & (np.diff(y) != 0)):
        direction = np.sign(y[frame + 1] - y[frame])
        if last_direction > 0 > direction:
            is_low = y[frame : frame + 2].max() >= playfield.paddle.top - reach
            distance = np.abs(x[frame : frame + 2] - positions[frame : frame + 2]).min()
            bounces.append(bool(is_low and distance <= playfield.paddle.width / 2 + reach))
        elif last_direction < 0 < direction:
            bounces.append(bool(y[frame : frame + 2].min() <= playfield.lowest_brick + reach))
        last_direction = direction
    return bounces


def ball_reach(balls: Iterable[Balls]) -> float:
    """Return the maximum vertical movement of the ball in a step of true sequences, in pixels."""
    return quantile(np.concatenate([np.abs(np.diff(sequence.y)) for sequence in balls]), EXTREME)


def _follows_press(pressed: np.ndarray) -> np.ndarray:
    """Return whether the previous step was a press: bool (G, T-1).

    The first step counts as after a press.
    """
    return np.concatenate([np.ones((len(pressed), 1), np.bool_), pressed[:, :-1] != STAY], axis=1)


def quantile(values: np.ndarray, share: float) -> float:
    """Return a quantile of the values that are not NaN; 0 if there are none."""
    known = values[~np.isnan(values)]
    return float(np.quantile(known, share)) if len(known) else 0.0

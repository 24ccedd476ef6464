"""Positions of paddle, ball, bricks and walls in frames of Atari Breakout, by colour (docs/method.md#movement).

Frames are uint8 (N, H, W, 3), or B sequences of T frames (B, T, H, W, 3), of any size, and cropped from the screen in
any way that keeps its whole width and the paddle. Positions are pixels from the left or top edge of the frame, so that
the first pixel's centre is at 0.5. The layout is learned from frames of true play.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy import ndimage

from utils.command import UserError

TOLERANCE = 0.15 * 255
"""Maximum distance of each channel of a pixel from a colour that it counts as."""

DARKEST_PADDLE, BRIGHTEST_PADDLE = (100, 72, 72), (200, 72, 72)
"""The range of the paddle's colours, which the ball's share."""

SCREEN_WIDTH = 160
SHORTEST_PADDLE = 11
BALL_SIZE = (2, 4)
"""Pixels of the screen: its width, the length that a visible paddle exceeds, and the ball's width and height."""

PUBLISHED_ROW, PUBLISHED_HEIGHT = 188, 208
"""The row in which the published rule looks for the paddle, and the height of the full-screen frames it is for."""

ALMOST = 0.9
"""Share of the reddest row's redness from which the published row is used instead."""

LEAST_FOUND = 0.8
"""Minimum share of true frames of Breakout that show a whole paddle in one row."""

LEAST_SATURATION = 32
"""Minimum difference of a pixel's channels for it to be coloured, not grey, so that blurred walls are no balls."""

NUM_TYPICAL_FRAMES = 200


def is_paddle_coloured(pixels: np.ndarray) -> np.ndarray:
    """Return whether pixels (..., 3) have a colour of the paddle: bool (...)."""
    darkest, brightest = np.array(DARKEST_PADDLE) - TOLERANCE, np.array(BRIGHTEST_PADDLE) + TOLERANCE
    return np.asarray(((pixels >= darkest) & (pixels <= brightest)).all(axis=-1))


def is_ball_coloured(pixels: np.ndarray) -> np.ndarray:
    """Return whether pixels (..., 3) have a colour of the ball: bool (...).

    The ball has the paddle's colours or, where a smaller frame mixes them with black, darker ones with at least the
    paddle's red; but never a greyish one.
    """
    red, other = pixels[..., 0], pixels[..., 1:].max(axis=-1).astype(np.int16)
    is_dark_enough = (pixels <= np.array(BRIGHTEST_PADDLE) + TOLERANCE).all(axis=-1)
    is_red_enough = red >= DARKEST_PADDLE[0] - TOLERANCE
    return np.asarray(is_dark_enough & is_red_enough & (red - other >= LEAST_SATURATION))


def is_black(pixels: np.ndarray) -> np.ndarray:
    """Return whether pixels (..., 3) are black: bool (...)."""
    return np.asarray((pixels <= TOLERANCE).all(axis=-1))


@dataclass(frozen=True)
class Runs:
    """The longest run of true values in each line of a mask, in pixels."""

    start: np.ndarray  # int (N,)
    length: np.ndarray  # int (N,), 0 if there is none

    @classmethod
    def of(cls, mask: np.ndarray) -> Self:
        """Find the longest runs in a mask, bool (N, W)."""
        lengths = np.zeros(mask.shape, np.int64)
        length = np.zeros(len(mask), np.int64)
        for column in range(mask.shape[1]):
            length = (length + 1) * mask[:, column]
            lengths[:, column] = length
        longest = lengths.max(axis=1)
        return cls(lengths.argmax(axis=1) + 1 - longest, longest)


@dataclass(frozen=True)
class PaddleFinder:
    """Finds the paddle: the longest run of its colour in its row that is neither too short nor twice its width."""

    row: int
    """The published row, or the reddest one that shows the paddle."""
    top: int
    """The first row that shows the paddle."""
    width: float
    """Width of the paddle in pixels."""
    hidden: np.ndarray
    """bool (W,): the part of `row` that a wall of the paddle's colour hides."""

    @classmethod
    def of(cls, frames: np.ndarray) -> Self:
        """Learn the rows, the width and the hidden part from frames of true play.

        Raises:
            UserError: no row shows a paddle in `LEAST_FOUND` of the frames.
        """
        is_constant = (frames == frames[0]).all(axis=(0, 3))
        hidden = is_constant & is_paddle_coloured(frames[0])
        half = frames.shape[1] // 2
        coloured = is_paddle_coloured(frames[:, half:]) & ~hidden[half:]  # (N, H/2, W)
        runs = Runs.of(coloured.reshape(-1, coloured.shape[2]))
        lengths = runs.length.reshape(coloured.shape[:2])
        found = (lengths > _shortest_run(frames.shape[2])).mean(axis=0)
        if found.max() < LEAST_FOUND:
            raise UserError(
                f"the paddle of Breakout is in {found.max():.0%} of the true frames: this is measured of Breakout "
                "alone, on frames that show the paddle"
            )
        redness = (frames[:, half:, :, 0] * coloured).mean(axis=(0, 2)) * (found >= LEAST_FOUND)
        row, published_row = int(redness.argmax()), PUBLISHED_ROW * frames.shape[1] // PUBLISHED_HEIGHT - half
        if redness[published_row] >= ALMOST * redness[row]:
            row = published_row
        rows_without = np.flatnonzero(found[:row] < LEAST_FOUND)
        top = int(rows_without[-1]) + 1 if len(rows_without) else 0
        return cls(half + row, half + top, float(np.median(lengths[:, row])), hidden[half + row])

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Return the x of the paddle's centre in frames (N, H, W, 3): float (N,), NaN where it is not found.

        A paddle of which a wall hides up to half counts with its full width.
        """
        runs = Runs.of(is_paddle_coloured(frames[:, self.row]) & ~self.hidden)
        end = runs.start + runs.length
        is_cut = (runs.length < self.width) & np.append(self.hidden, False)[end]
        centre = runs.start + np.where(is_cut, self.width, runs.length) / 2
        is_long = np.where(is_cut, runs.length >= self.width / 2, runs.length > _shortest_run(frames.shape[2]))
        is_found = is_long & (runs.length < 2 * self.width)
        return np.where(is_found, centre, np.nan)


def _shortest_run(width: int) -> float:
    """Return the length in pixels that a visible paddle exceeds in frames of some width."""
    return SHORTEST_PADDLE * width / SCREEN_WIDTH


@dataclass(frozen=True)
class BreakoutTracker:
    """Finds the left end of the paddle: the longest run of its colour in a row, if long enough.

    If the published row does not show the paddle, as in frames cropped from the screen, another row is learned from
    true frames.
    """

    unit: ClassVar[str] = "pixels"
    rule: ClassVar[str] = "the left end of the longest run of the paddle's colour in its row"
    sees_frames: ClassVar[bool] = True

    row: int

    @classmethod
    def of(cls, frames: np.ndarray) -> Self:
        """Choose the row from true frames (N, H, W, 3).

        Raises:
            UserError: they do not show the paddle of Breakout.
        """
        return cls(PaddleFinder.of(frames).row)

    def positions(self, frames: np.ndarray, _metadata: Sequence[Sequence[dict[str, Any]]], /) -> np.ndarray:
        """Return the positions, as `Tracker.positions`: float64 (B, T, 1), x in pixels."""
        line = is_paddle_coloured(frames[:, :, self.row])  # (B, T, W)
        runs = Runs.of(line.reshape(-1, line.shape[-1]))
        is_found = runs.length > _shortest_run(frames.shape[3])
        return np.where(is_found, runs.start, np.nan).reshape(*line.shape[:2], 1)


@dataclass(frozen=True)
class PublishedBreakoutTracker:
    """Finds the left end of the paddle exactly as the published evaluator does, for comparison with its numbers.

    It is the first run from the left, in the published row, of pixels whose red alone is the paddle's, where grey walls
    count too; the last column ends a run.
    """

    unit: ClassVar[str] = "pixels"
    rule: ClassVar[str] = "published: the first run from the left of more than 11 pixels with the paddle's red, or grey"
    sees_frames: ClassVar[bool] = True

    def positions(self, frames: np.ndarray, _metadata: Sequence[Sequence[dict[str, Any]]], /) -> np.ndarray:
        """Return the positions, as `Tracker.positions`: float64 (B, T, 1), x in pixels."""
        red = frames[:, :, PUBLISHED_ROW * frames.shape[2] // PUBLISHED_HEIGHT, :, 0]  # (B, T, W)
        is_red = (red >= DARKEST_PADDLE[0] - TOLERANCE) & (red <= BRIGHTEST_PADDLE[0] + TOLERANCE)
        is_red[..., -1] = False
        windows = np.lib.stride_tricks.sliding_window_view(is_red, SHORTEST_PADDLE + 1, axis=-1).all(axis=-1)
        return np.where(windows.any(axis=-1), windows.argmax(axis=-1), np.nan)[..., np.newaxis]


@dataclass(frozen=True)
class Balls:
    """The M balls in N frames."""

    count: np.ndarray
    """int (N,): number of balls in each frame."""
    x: np.ndarray
    """float (N,): centre of the ball in frames with exactly one, else NaN."""
    y: np.ndarray
    """float (N,): the same."""
    frames: np.ndarray
    """int (M,): the frame of each ball, in ascending order."""
    centres: np.ndarray
    """float (M, 2): x and y of each ball."""

    @classmethod
    def of(cls, num_frames: int, frames: np.ndarray, centres: np.ndarray) -> Self:
        """Collect M balls of `num_frames` frames, given their frames (M,) and centres (M, 2)."""
        count = np.bincount(frames, minlength=num_frames)
        alone = np.full((num_frames, 2), np.nan)
        alone[frames] = centres
        alone[count != 1] = np.nan
        return cls(count, alone[:, 0], alone[:, 1], frames, centres)

    def nearest(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the distance of each frame's nearest ball from a place in it: float (N,) pixels, infinite without one.

        Args:
            x: (N,) pixels; NaN in x or y gives a distance of NaN.
            y: (N,) pixels.
        """
        distances = np.full(len(self.count), np.inf)
        places = np.stack([x, y], axis=1)[self.frames]
        with np.errstate(invalid="ignore"):  # unknown places are NaN
            np.minimum.at(distances, self.frames, np.hypot(*(self.centres - places).T))
        return distances


@dataclass(frozen=True)
class Playfield:
    """The layout of the frames of a game, learned from true play.

    Each mask is bool (H, W).
    """

    paddle: PaddleFinder
    picture: np.ndarray
    """uint8 (H, W, 3): the median of the true frames, which shows walls and bricks without paddle and ball."""
    walls: np.ndarray
    """Pixels that are not black, never change and are not bricks."""
    bricks: np.ndarray
    """Coloured pixels above the paddle, in the columns between the outermost changing pixels of the paddle's row."""
    air: np.ndarray
    """Black pixels in the same area."""

    @classmethod
    def of(cls, frames: np.ndarray) -> Self:
        """Learn the layout from true frames (N, H, W, 3).

        Raises:
            UserError: they do not show the paddle of Breakout.
        """
        paddle = PaddleFinder.of(frames)
        picture = np.median(frames[:: -(-len(frames) // NUM_TYPICAL_FRAMES)], axis=0).astype(np.uint8)
        is_constant = (frames == frames[0]).all(axis=(0, 3))
        changing = np.flatnonzero(~is_constant[paddle.row])
        inside = np.zeros(is_constant.shape, np.bool_)
        inside[: paddle.top, changing[0] : changing[-1] + 1] = True
        black = is_black(picture)
        bricks = inside & ~black & (np.ptp(picture, axis=-1) >= LEAST_SATURATION)
        return cls(paddle, picture, is_constant & ~black & ~bricks, bricks, inside & black)

    @property
    def lowest_brick(self) -> float:
        """The y of the lower edge of the bricks; 0 if there are none."""
        rows = np.flatnonzero(self.bricks.any(axis=1))
        return float(rows[-1] + 1) if len(rows) else 0.0

    def find_balls(self, frames: np.ndarray) -> Balls:
        """Find small regions of the ball's colour in the air; balls among bricks or beside the paddle are not found.

        Args:
            frames: uint8 (N, H, W, 3).
        """
        coloured = self.ball_pixels(frames)
        in_plane = np.zeros((3, 3, 3), np.bool_)
        in_plane[1] = True
        blobs, num_blobs = ndimage.label(coloured, in_plane)
        places = np.nonzero(coloured)
        blob = blobs[places] - 1
        sizes = np.bincount(blob, minlength=num_blobs)
        frame, y, x = (np.bincount(blob, values, num_blobs) / sizes for values in places)
        is_small = sizes <= self.largest_ball(frames.shape[2])
        centres = np.stack([x, y], axis=1)[is_small] + 0.5
        return Balls.of(len(frames), frame[is_small].astype(np.int64), centres)

    def ball_pixels(self, frames: np.ndarray) -> np.ndarray:
        """Return which pixels of frames (N, H, W, 3) in the air have the ball's colour: bool (N, H, W)."""
        pixels = (frames[..., 0] >= DARKEST_PADDLE[0] - TOLERANCE) & self.air  # few, so that the next line is fast
        pixels[pixels] = is_ball_coloured(frames[pixels])
        return pixels

    @staticmethod
    def largest_ball(width: int) -> float:
        """Return the maximum number of pixels that a ball covers in frames of some width."""
        scale = width / SCREEN_WIDTH
        return (BALL_SIZE[0] * scale + 1) * (BALL_SIZE[1] * scale + 1)

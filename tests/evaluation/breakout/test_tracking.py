"""The paddle, the playfield and the ball are found in drawn frames, cut as those of the demo."""

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from evaluation.breakout.tracking import PaddleFinder, Playfield, Runs
from tests.configurations import FIXTURES
from utils.command import UserError

WIDTH, HEIGHT, WALL = 80, 96, 4
BRICKS = slice(20, 32)
PADDLE_ROWS = (86, 87, 88)
LEFTMOST, RIGHTMOST = 8.0, 72.0

RED, DARK_RED, GREY, GREEN = (200, 72, 72), (100, 36, 36), (142, 142, 142), (66, 158, 130)
BRICK_COLOURS = ((200, 72, 72), (180, 122, 48), (72, 160, 72), (66, 72, 200))


def draw(paddle: float | None, ball: tuple[int, int] | None = None) -> np.ndarray:
    """A frame uint8 (96, 80, 3) with a paddle of 8 pixels around an x, if any, and the ball's upper pixel at (x, y)."""
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[BRICKS] = np.repeat(BRICK_COLOURS, 3, axis=0)[:, np.newaxis]
    if paddle is not None:
        coverage = np.clip(np.minimum(np.arange(1, WIDTH + 1) - paddle + 4, paddle + 4 - np.arange(WIDTH)), 0, 1)
        for row, colour in zip(PADDLE_ROWS, (DARK_RED, RED, DARK_RED), strict=True):
            frame[row] = coverage[:, np.newaxis] * colour
    if ball is not None:
        frame[ball[1] : ball[1] + 2, ball[0]] = RED
    frame[:WALL] = frame[: PADDLE_ROWS[0], :WALL] = frame[: PADDLE_ROWS[0], -WALL:] = GREY
    frame[PADDLE_ROWS[0] : PADDLE_ROWS[-1] + 1, :WALL] = GREEN
    frame[PADDLE_ROWS[0] : PADDLE_ROWS[-1] + 1, -WALL:] = RED
    return frame


def drawn(paddles: Sequence[float | None] | np.ndarray) -> np.ndarray:
    """Frames uint8 (N, 96, 80, 3) with paddles."""
    return np.stack([draw(paddle) for paddle in paddles])


CENTRES = np.arange(8.0, 72.5, 0.5)


@pytest.fixture
def playfield() -> Playfield:
    return Playfield.of(drawn(CENTRES))


def test_runs() -> None:
    runs = Runs.of(np.array([[0, 1, 1, 0, 1, 1, 1], [1, 1, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0]], np.bool_))
    assert runs.length.tolist() == [3, 2, 0]
    assert runs.start[:2].tolist() == [4, 0]


def test_the_paddle_is_found_to_half_a_pixel(playfield: Playfield) -> None:
    paddle = playfield.paddle
    assert (paddle.row, paddle.top, paddle.width) == (PADDLE_ROWS[1], PADDLE_ROWS[0], 8)
    np.testing.assert_allclose(paddle(drawn(CENTRES)), CENTRES)
    assert paddle(drawn(CENTRES)).shape == CENTRES.shape


def test_a_paddle_behind_the_red_end_of_the_wall_keeps_its_width() -> None:
    centres = np.array([8.0, 20.0, 40.0, 72.0, 74.0])
    np.testing.assert_allclose(PaddleFinder.of(drawn(centres))(drawn(centres)), centres)


def test_a_ball_in_its_row_does_not_move_the_paddle(playfield: Playfield) -> None:
    frame = draw(30.0)
    frame[PADDLE_ROWS[1], 60:62] = (200, 72, 72)
    assert playfield.paddle(frame[np.newaxis]) == 30


@pytest.mark.parametrize("length", [0, 5, 16])
def test_what_is_too_short_or_too_long_is_no_paddle(playfield: Playfield, length: int) -> None:
    frame = draw(None)
    frame[PADDLE_ROWS[1], 20 : 20 + length] = (200, 72, 72)
    assert np.isnan(playfield.paddle(frame[np.newaxis])).all()


def test_real_frames_of_the_full_screen() -> None:
    pictures = sorted((FIXTURES / "authors_layout_sample").glob("*/*/*.png"))
    frames = np.stack([np.asarray(Image.open(picture).convert("RGB")) for picture in pictures])
    paddle = PaddleFinder.of(frames)
    assert (paddle.row, paddle.width) == (189, 16)
    found = paddle(frames)
    assert found.min() >= 16  # eight pixels of wall and half a paddle
    assert found.max() == 152  # where the wall hides the other half
    videos = found.reshape(-1, 16)
    assert np.abs(np.diff(videos)).max() <= 24


@pytest.mark.parametrize("frames", [drawn([None] * 5), drawn([40.0] * 5), drawn([20.0, 40.0, 60.0, None])])
def test_frames_without_a_paddle_that_moves_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"the paddle of Breakout is in [0-9]+% of the true frames"):
        PaddleFinder.of(frames)


def test_playfield(playfield: Playfield) -> None:
    bricks = np.zeros((HEIGHT, WIDTH), np.bool_)
    bricks[BRICKS, WALL:-WALL] = True
    np.testing.assert_array_equal(playfield.bricks, bricks)
    assert playfield.lowest_brick == BRICKS.stop
    walls = np.zeros_like(bricks)
    walls[: PADDLE_ROWS[-1] + 1] = True
    walls[WALL:, WALL:-WALL] = False
    np.testing.assert_array_equal(playfield.walls, walls)
    air = np.zeros_like(bricks)
    air[WALL : PADDLE_ROWS[0], WALL:-WALL] = True
    np.testing.assert_array_equal(playfield.air, air & ~bricks)


def test_balls(playfield: Playfield) -> None:
    two = draw(40.0, ball=(20, 60))
    two[70:72, 50:52] = (100, 36, 36)
    among_bricks = draw(40.0, ball=(20, BRICKS.start))
    smear, grey = draw(40.0), draw(40.0)
    smear[60:64, 20:24] = (200, 72, 72)
    grey[60:62, 20] = (72, 60, 60)
    frames = np.stack([draw(40.0), draw(40.0, ball=(20, 60)), two, among_bricks, smear, grey])
    balls = playfield.find_balls(frames)
    assert balls.count.tolist() == [0, 1, 2, 0, 0, 0]
    np.testing.assert_array_equal(balls.x, [np.nan, 20.5, *[np.nan] * 4])
    np.testing.assert_array_equal(balls.y, [np.nan, 61.0, *[np.nan] * 4])


def test_the_nearest_ball(playfield: Playfield) -> None:
    two = draw(40.0, ball=(20, 60))
    two[70:72, 50] = RED
    balls = playfield.find_balls(np.stack([draw(40.0), two, two, two]))
    distances = balls.nearest(np.array([20.5, 20.5, 50.5, 23.5]), np.array([61.0, 61.0, 70.0, 65.0]))
    np.testing.assert_allclose(distances, [np.inf, 0, 1, 5])

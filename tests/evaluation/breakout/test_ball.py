"""A ball counts where the true one is now: drawn frames."""

import numpy as np
import pytest

from evaluation.breakout.ball import Drawn, balls_drawn, measure_drawn
from evaluation.breakout.measures import SampleMean
from evaluation.breakout.tracking import Playfield
from tests.evaluation.breakout.test_tracking import CENTRES, RED, draw, drawn

OLD, NOW = (20, 60), (24, 62)


@pytest.fixture(scope="module")
def playfield() -> Playfield:
    return Playfield.of(drawn(CENTRES))


def compared(playfield: Playfield, made: np.ndarray) -> Drawn:
    """One frame with the ball at `NOW`, compared with what was made of it."""
    return measure_drawn(playfield, draw(40.0, OLD)[np.newaxis], draw(40.0, NOW)[np.newaxis], made[np.newaxis])


def test_a_perfect_frame(playfield: Playfield) -> None:
    one, zero = SampleMean(1.0, 1), SampleMean(0.0, 1)
    assert compared(playfield, draw(40.0, NOW)) == Drawn(
        ball=one, one_ball=one, colour_difference=zero, paddle=one, l1=zero
    )


@pytest.mark.parametrize(
    ("place", "is_drawn"),
    [(NOW, 1), (OLD, 0), ((25, 63), 1), ((24, 64), 0), ((22, 62), 0), (None, 0)],
)
def test_a_ball_counts_at_its_new_place(playfield: Playfield, place: tuple[int, int] | None, is_drawn: int) -> None:
    found = compared(playfield, draw(40.0, place))
    assert found.ball == SampleMean(is_drawn, 1)
    assert found.one_ball == SampleMean(float(place is not None), 1)


def test_a_second_ball(playfield: Playfield) -> None:
    two = draw(40.0, NOW)
    two[70:72, 50] = RED
    found = compared(playfield, two)
    assert (found.ball.value, found.one_ball.value) == (1, 0)


def test_the_colour_is_that_of_the_place(playfield: Playfield) -> None:
    assert compared(playfield, draw(40.0)).colour_difference.value == pytest.approx(np.mean(RED))
    paler = draw(40.0, NOW)
    paler[NOW[1] : NOW[1] + 2, NOW[0]] += 10
    assert compared(playfield, paler).colour_difference == SampleMean(10.0, 1)


@pytest.mark.parametrize(("paddle", "is_drawn"), [(42.0, 1), (43.0, 0), (None, 0)])
def test_the_paddle_of_the_same_frames(playfield: Playfield, paddle: float | None, is_drawn: int) -> None:
    assert compared(playfield, draw(paddle, NOW)).paddle == SampleMean(is_drawn, 1)


def test_l1_is_of_pixels_between_minus_one_and_one(playfield: Playfield) -> None:
    true = draw(40.0, NOW)
    assert compared(playfield, np.zeros_like(true)).l1.value == pytest.approx(true.mean() / 127.5)


@pytest.mark.parametrize(
    ("old", "now", "counts"),
    [
        (OLD, NOW, True),
        (OLD, (23, 61), True),
        (OLD, (22, 61), False),
        (OLD, OLD, False),
        (None, NOW, False),
        (OLD, None, False),
    ],
)
@pytest.mark.parametrize("scale", [1, 2])
def test_only_balls_that_moved_count(
    old: tuple[int, int] | None, now: tuple[int, int] | None, counts: bool, scale: int
) -> None:
    def enlarged(frame: np.ndarray) -> np.ndarray:
        return frame.repeat(scale, axis=-3).repeat(scale, axis=-2)

    playfield = Playfield.of(enlarged(drawn(CENTRES)))
    before, true = (enlarged(draw(40.0, place)[np.newaxis]) for place in (old, now))
    assert np.isfinite(balls_drawn(playfield, before, true, true)).tolist() == [counts]


def test_the_limit_grows_with_the_frame() -> None:
    def enlarged(frames: np.ndarray) -> np.ndarray:
        return frames.repeat(2, axis=1).repeat(2, axis=2)

    places = (NOW, OLD, (25, 63), (26, 62))
    made = enlarged(np.stack([draw(40.0, place) for place in places]))
    before, true = (enlarged(np.stack([draw(40.0, place)] * len(places))) for place in (OLD, NOW))
    found = balls_drawn(Playfield.of(enlarged(drawn(CENTRES))), before, true, made)
    assert found.tolist() == [1, 0, 1, 0]

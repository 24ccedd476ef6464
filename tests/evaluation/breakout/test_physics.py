"""How a drawn ball is reflected, breaks bricks and is served."""

from collections.abc import Sequence

import numpy as np
import pytest

from evaluation.breakout.measures import PaddleLaws, Readings, SampleMean
from evaluation.breakout.physics import BallLaws, Physics, measure_physics
from evaluation.breakout.tracking import Playfield
from tests.evaluation.breakout.test_tracking import BRICKS, CENTRES, draw, drawn

PADDLE_LAWS = PaddleLaws(8.0, 72.0, shortest_move=8.0, longest_slide=2.0, longest_rest=0.0)
LAWS = BallLaws(reach=np.array([4.0, 4.0]), rise=(2.0, 4.0), longest_absence=3)
UPWARDS = [(40, y) for y in (48, 44, 40, 36, 32)]
OFF_A_BRICK = [*UPWARDS, (40, 36), (40, 40), (40, 44), (40, 48), (40, 52), (40, 56)]
Track = Sequence[tuple[int, int] | None]


@pytest.fixture(scope="module")
def playfield() -> Playfield:
    return Playfield.of(drawn(CENTRES))


def read(playfield: Playfield, frames: np.ndarray) -> Readings:
    """What is read off one sequence."""
    return Readings.of(playfield, PADDLE_LAWS, frames[np.newaxis], np.zeros((1, len(frames) - 1), np.int64))


def played(track: Track, paddle: float = 40.0) -> np.ndarray:
    return np.stack([draw(paddle, place) for place in track])


def physics(playfield: Playfield, frames: np.ndarray) -> Physics:
    return measure_physics(playfield, LAWS, read(playfield, frames))


def number_of_bounces(found: Physics) -> dict[str, int]:
    """How many bounces off each there are."""
    kinds = ("wall", "paddle", "brick", "ceiling", "nothing")
    figures = {kind: getattr(found, f"{kind}_bounces") for kind in kinds}
    return {kind: round(figure.value * figure.samples / 100) for kind, figure in figures.items() if figure.value}


@pytest.mark.parametrize(
    ("track", "paddle", "kind"),
    [
        ([(16, 50), (12, 52), (8, 54), (4, 56), (8, 58), (12, 60)], 40.0, "wall"),
        ([(64, 50), (68, 52), (72, 54), (75, 56), (71, 58), (67, 60)], 40.0, "wall"),
        ([(40, 50), (36, 52), (32, 54), (36, 56), (40, 58)], 40.0, "nothing"),
        ([(36, 74), (38, 78), (40, 82), (42, 78), (44, 74)], 40.0, "paddle"),
        ([(36, 74), (38, 78), (40, 82), None, (44, 78), (46, 74)], 40.0, "paddle"),
        ([(36, 74), (38, 78), (40, 82), (42, 78), (44, 74)], 60.0, "nothing"),
        ([(36, 54), (38, 58), (40, 62), (42, 58), (44, 54)], 40.0, "nothing"),
        (OFF_A_BRICK, 40.0, "brick"),
        ([(36, 15), (38, 11), (40, 7), (42, 11), (44, 15)], 40.0, "ceiling"),
        ([(36, 60), (38, 56), (40, 52), (42, 56), (44, 60)], 40.0, "nothing"),
    ],
)
def test_what_reflects_the_ball(playfield: Playfield, track: Track, paddle: float, kind: str) -> None:
    assert number_of_bounces(physics(playfield, played(track, paddle))) == {kind: 1}


@pytest.mark.parametrize(
    "track",
    [
        [(40, 50), (36, 52), (32, 54)],
        [(20, 50), (24, 52), (10, 54), (14, 56), (40, 58), (36, 60)],  # other balls
        [(40, 78), (40, 82), *[None] * 6, (40, 80), (40, 76)],  # out of sight for too long
    ],
)
def test_what_is_no_bounce(playfield: Playfield, track: Track) -> None:
    assert number_of_bounces(physics(playfield, played(track))) == {}


def test_a_bounce_keeps_the_speed(playfield: Playfield) -> None:
    before = [(16, 50), (12, 52), (8, 54)]
    kept = [*before, (5, 56), (8, 58), (12, 60)]  # the step to the wall and the one from it show less than the speed
    assert physics(playfield, played(kept)).wall_speed_change == SampleMean(0.0, 1)
    slower = [*before, (5, 56), (8, 58), (11, 61)]
    assert physics(playfield, played(slower)).wall_speed_change == SampleMean(2.0, 1)
    cut = kept[1:-1]
    assert physics(playfield, played(cut[1:])).wall_speed_change == SampleMean(None, 0)


@pytest.mark.parametrize(("rise", "share"), [(4, 1.0), (2, 1.0), (1, 0.0)])
def test_how_fast_the_ball_rises_from_the_paddle(playfield: Playfield, rise: int, share: float) -> None:
    track = [(40, 74), (40, 78), (40, 82), *((40, 82 - rise * step) for step in (1, 2, 3))]
    assert physics(playfield, played(track)).paddle_rise_possible == SampleMean(share, 1)


def breaking(frame: int, x: int) -> np.ndarray:
    """A ball that bounces off a brick in frame 4, and a brick at an x that vanishes in some frame."""
    frames = played(OFF_A_BRICK)
    frames[frame:, BRICKS.stop - 3 : BRICKS.stop, x : x + 4] = 0
    return frames


@pytest.mark.parametrize(
    ("frame", "x", "breaks", "without_ball"),
    [(4, 38, 1, 0.0), (5, 42, 1, 0.0), (7, 38, 1, 0.0), (9, 38, 0, 1.0), (4, 60, 0, 1.0), (99, 38, 0, None)],
)
def test_bricks_break_where_and_when_they_are_hit(
    playfield: Playfield, frame: int, x: int, breaks: int, without_ball: float | None
) -> None:
    found = physics(playfield, breaking(frame, x))
    assert found.bricks_break == SampleMean(breaks, 1)
    assert found.losses_without_ball == SampleMean(without_ball, 0 if without_ball is None else 12)


def test_a_few_dark_pixels_are_no_broken_brick(playfield: Playfield) -> None:
    frames = played(OFF_A_BRICK)
    frames[5:, BRICKS.stop - 2 : BRICKS.stop, 38:41] = 0
    assert physics(playfield, frames).bricks_break == SampleMean(0.0, 1)


@pytest.mark.parametrize(
    ("track", "served"),
    [
        ([True, *[False] * 3, True], SampleMean(1.0, 1)),
        ([True, *[False] * 4, True], SampleMean(0.0, 1)),
        ([True, *[False] * 3], SampleMean(None, 0)),
        ([False] * 4, SampleMean(0.0, 1)),
        ([False, True, False, True, *[False] * 4], SampleMean(2 / 3, 3)),
    ],
)
def test_the_serve(playfield: Playfield, track: list[bool], served: SampleMean) -> None:
    frames = played([(40, 50) if is_seen else None for is_seen in track])
    assert physics(playfield, frames).served == served


def test_laws_of_true_play(playfield: Playfield) -> None:
    track = [(37, 73), (40, 77), (43, 81), (46, 78), (49, 75), None, None, (49, 60), (46, 64)]
    laws = BallLaws.of(playfield, read(playfield, played(track)))
    np.testing.assert_allclose(laws.reach, [3, 4], atol=0.1)
    assert laws.rise == (3, 3)
    assert laws.longest_absence == 2

import numpy as np
import pytest

from evaluation.play.estimates import Estimate, Timeline

UNKNOWN = Estimate(None, None, 0)


def test_an_estimate_is_a_mean_with_its_interval() -> None:
    estimate = Estimate.of(np.array([[1.0, 3.0], [np.nan, 5.0]]))
    assert (estimate.value, estimate.samples) == (3.0, 3)
    assert estimate.interval is not None
    low, high = estimate.interval
    assert 2 <= low <= 3 <= high <= 5
    assert Estimate.of(np.array([[1.0, 3.0]])) == Estimate(2.0, None, 2)
    assert Estimate.of(np.full((2, 2), np.nan)) == UNKNOWN


def test_arithmetic() -> None:
    estimate = Estimate(0.5, (0.25, 1.0), 4)
    assert estimate.divided_by(0.5) == Estimate(1.0, (0.5, 2.0), 4)
    assert estimate.subtracted_from(1) == Estimate(0.5, (0.0, 0.75), 4)
    for unknown in (estimate.divided_by(0), estimate.divided_by(None), UNKNOWN.divided_by(2)):
        assert unknown == UNKNOWN
    assert UNKNOWN.subtracted_from(1) == UNKNOWN
    assert Estimate(0.5, None, 4).divided_by(2) == Estimate(0.25, None, 4)


def test_a_timeline_has_a_point_per_window_with_values() -> None:
    values = np.array([[1.0, 2.0, 3.0, np.nan, np.nan]])
    timeline = Timeline.of(values, 2)
    assert timeline.first_frame == [1, 3]
    assert [estimate.value for estimate in timeline.estimates] == [1.5, 3.0]
    assert timeline.divided_by(3.0).estimates[1].value == 1
    assert timeline.at(2) is timeline.estimates[0]
    assert timeline.at(100) is timeline.estimates[1]
    assert Timeline.of(values[:, 3:], 2).at(1) is None
    assert timeline.estimates[0].value == pytest.approx(1.5)

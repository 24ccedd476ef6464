import numpy as np

from evaluation.play.distribution import WINDOW, distances_of_windows, true_distance

TRUE = np.random.default_rng(0).normal(size=(12, 100, 4))


def test_windows_that_drift_away_are_further_from_true_ones() -> None:
    features = np.random.default_rng(1).normal(size=(8, 2 * WINDOW + 10, 4))
    features[:, WINDOW:] += 1
    timeline = distances_of_windows(features, TRUE)
    assert timeline.first_frame == [1, 1 + WINDOW]  # the last frames are no whole window
    near, far = timeline.estimates
    assert near.value is not None
    assert far.value is not None
    assert near.value < 0.2
    assert 3.5 < far.value < 4.5  # the squared distance of the means
    assert near.samples == 8 * WINDOW
    assert far.interval is not None
    assert far.interval[0] < far.value < far.interval[1]


def test_true_play_is_near_itself() -> None:
    floor = true_distance(TRUE, 8)
    assert floor.value is not None
    assert floor.value < 0.2
    assert floor.samples == 6 * WINDOW  # half of the sequences
    assert true_distance(TRUE[:3], 8).value is None


def test_few_frames() -> None:
    assert distances_of_windows(TRUE[:2, :3], TRUE).estimates[0].samples == 6
    assert distances_of_windows(TRUE[:1, :3], TRUE).estimates[0].interval is None
    assert distances_of_windows(TRUE[:1, :1], TRUE).estimates[0].value is None

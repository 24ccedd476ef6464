import json

import numpy as np
import pytest

from evaluation.metrics.detection import detection_errors
from tests.reference import REFERENCE, load_arrays


def published(arrays: str) -> np.ndarray:
    """Positions of the fixture (B, T, D), where -1 stands for NaN."""
    positions = load_arrays("metrics")[arrays]
    return np.where(positions == -1, np.nan, positions).reshape(*positions.shape[:2], -1)


@pytest.mark.parametrize("dimensions", ["1d", "2d"])
def test_distances_and_misses_are_the_published_ones(dimensions: str) -> None:
    expected = json.loads((REFERENCE / "metrics.json").read_text())[f"detection_{dimensions}"]
    reference, generated = (published(f"detections_{dimensions}_{kind}") for kind in ("reference", "generated"))
    values = detection_errors(reference, generated).values
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    order = np.random.default_rng(0).permutation(len(reference))
    shuffled = detection_errors(reference[order], generated[order]).values
    assert shuffled == pytest.approx(values, rel=1e-12)


def test_frames_without_a_reference_count_nothing() -> None:
    nan = np.nan
    reference = np.array([[[0.0, 0.0], [nan, 5.0], [1.0, np.inf]], [[0.0, 0.0], [nan, nan], [2.0, 2.0]]])
    generated = np.array([[[3.0, 4.0], [1.0, 5.0], [1.0, 1.0]], [[nan, 0.0], [1.0, 1.0], [np.inf, 2.0]]])
    results = detection_errors(reference, generated)
    values = results.values
    assert [values[f"detection/reference_detections/{place}"] for place in (0, 1, 2, "global")] == [2, 0, 1, 3]
    assert [values[f"detection/missed_detections/{place}"] for place in (0, 1, 2, "global")] == [1, 0, 1, 2]
    assert [values[f"detection/center_distance/{place}"] for place in (0, 1, 2, "global")] == [5, None, None, 5]
    rates = [values[f"detection/missed_detection_rate/{place}"] for place in (0, 1, 2, "global")]
    assert rates == [0.5, None, 1, pytest.approx(2 / 3)]
    assert results.reasons.keys() == {name for name, value in values.items() if value is None}


def test_numbers_are_native() -> None:
    values = detection_errors(np.zeros((2, 3, 1)), np.ones((2, 3, 1))).values
    assert {type(value) for value in values.values()} == {int, float}


def test_global_averages_have_intervals_over_sequences() -> None:
    reference = np.zeros((3, 2, 1))
    generated = np.array([[[1.0], [1.0]], [[3.0], [np.nan]], [[2.0], [2.0]]])
    intervals = detection_errors(reference, generated).intervals
    assert intervals.keys() == {"detection/center_distance/global", "detection/missed_detection_rate/global"}
    assert intervals["detection/center_distance/global"] == [1, 3]
    assert intervals["detection/missed_detection_rate/global"] == [0, 0.5]
    assert detection_errors(reference[:1], generated[:1]).intervals == {}

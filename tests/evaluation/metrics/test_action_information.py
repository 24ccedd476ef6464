from typing import cast

import numpy as np
import pytest

from evaluation.metrics.action_information import NAMES, action_information


def measured(inferred: np.ndarray, true: np.ndarray, actions_count: int) -> list[float]:
    values = action_information(inferred, true, actions_count).values
    return [cast(float, values[name]) for name in NAMES]


def test_renamed_actions_say_everything() -> None:
    true = np.repeat([-3, 5, 9], 20)
    found = measured(np.repeat([2, 0, 1], 20), true, 3)
    assert found == pytest.approx([1, np.log(3), 1, 1])


def test_information_is_that_of_the_joint_distribution() -> None:
    counts = np.array([[8, 0], [2, 10]])  # by inferred, true
    inferred, true = (np.repeat(indices.ravel(), counts.ravel()) for indices in np.indices((2, 2)))
    joint = counts / counts.sum()
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.nansum(joint * np.log(joint / np.outer(rows, columns)))
    entropies = [-(share * np.log(share)).sum() for share in (rows, columns)]
    accuracy, *found = measured(inferred, true, 5)
    assert accuracy == 0.9
    assert found[:2] == pytest.approx([information, information / np.mean(entropies)])
    assert 0 < found[2] < found[1]


def test_chance_is_taken_off() -> None:
    random = np.random.default_rng(0)
    _, information, normalized, adjusted = measured(random.integers(0, 7, 200), random.integers(0, 3, 200), 7)
    assert information > 0.02
    assert normalized > 0.02
    assert adjusted == pytest.approx(0, abs=0.02)


def test_one_action_says_nothing() -> None:
    assert measured(np.zeros(10, np.int64), np.arange(10) % 2, 3)[:2] == [0.5, 0]


def test_no_steps() -> None:
    results = action_information(np.zeros(0, np.int64), np.zeros(0, np.int64), 3)
    assert results.values == dict.fromkeys(NAMES)
    assert results.reasons.keys() == set(NAMES)

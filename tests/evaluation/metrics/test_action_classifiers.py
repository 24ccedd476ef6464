import json
import warnings
from typing import cast

import numpy as np
import pytest

from evaluation.metrics import action_classifiers as module
from evaluation.metrics.action_classifiers import CLASSIFIERS, action_classifiers
from evaluation.results import Results
from tests.reference import REFERENCE, load_arrays


def test_accuracies_are_the_published_ones() -> None:
    arrays = load_arrays("metrics")
    expected = json.loads((REFERENCE / "metrics.json").read_text())["action_accuracy"]
    results = action_classifiers(arrays["vectors"], arrays["actions"], 4)
    assert {name: results.values[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    assert results.samples == dict.fromkeys(CLASSIFIERS, 400)
    assert (results.reasons, results.warnings) == ({}, [])
    for name in CLASSIFIERS:
        held_out = accuracy(results, f"{name}/cross_validated_action_accuracy")
        assert 0 < expected[f"{name}/action_accuracy"] - held_out < 0.05


def accuracy(results: Results, name: str) -> float:
    return cast(float, results.values[name])


def test_a_sequence_is_not_on_both_sides() -> None:
    """An action has two places, each seen in one sequence alone."""
    sequences = np.repeat(np.arange(4), 20)
    movements = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])[sequences] + np.random.default_rng(0).normal(0, 0.1, (80, 2))
    actions = np.array([0, 1, 1, 0])[sequences]
    name = "rbf/cross_validated_action_accuracy"
    assert accuracy(action_classifiers(movements, actions, 2), name) == 1
    assert accuracy(action_classifiers(movements, actions, 2, sequences), name) < 0.1


def test_few_actions_and_sequences() -> None:
    movements, actions = np.arange(12.0)[:, np.newaxis], np.arange(12) // 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for steps in (12, 0):
            nothing = action_classifiers(movements[:steps], np.ones(steps, np.int64), 3)
            assert set(nothing.values.values()) == {None}
            assert nothing.reasons.keys() == nothing.values.keys()
        one_sequence = action_classifiers(movements, actions, 2, np.zeros(12))
        assert one_sequence.values["rbf/action_accuracy"] == 1
        assert one_sequence.reasons.keys() == {f"{name}/cross_validated_action_accuracy" for name in CLASSIFIERS}
        two_sequences = action_classifiers(movements, actions, 2, sequences=actions)
        assert two_sequences.values["linear/cross_validated_action_accuracy"] is None
        rare = action_classifiers(movements, np.array([0] * 6 + [1] * 5 + [3]), 4)
    assert rare.values["rbf/action_accuracy/2"] is None
    assert 0.5 < accuracy(rare, "rbf/cross_validated_action_accuracy") < 1


def test_time_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    monkeypatch.setattr(module, "MAX_STEPS", 300)
    movements, actions = random.standard_cauchy((3000, 2)), random.integers(0, 2, 3000)
    results = action_classifiers(movements, actions, 2, np.arange(3000) // 10)
    assert results.samples == dict.fromkeys(CLASSIFIERS, 300)
    assert "poly/action_accuracy: fits were ended before they converged" in results.warnings
    assert action_classifiers(movements, actions, 2, np.arange(3000) // 10) == results

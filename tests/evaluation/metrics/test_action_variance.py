import json
import warnings

import numpy as np
import pytest

from evaluation.metrics.action_variance import action_variance
from tests.reference import REFERENCE, load_arrays


def test_distributions_are_the_published_ones() -> None:
    arrays = load_arrays("metrics")
    expected = json.loads((REFERENCE / "metrics.json").read_text())["action_variance"]
    values = action_variance(arrays["vectors"], arrays["actions"], 4).values
    for name, value in expected.items():
        np.testing.assert_allclose(np.array(values[name], np.float64), value, rtol=1e-9, err_msg=name)
    order = np.random.default_rng(0).permutation(400)
    shuffled = action_variance(arrays["vectors"][order], arrays["actions"][order], 4).values
    assert shuffled["action_variance/delta_mse"] == pytest.approx(values["action_variance/delta_mse"])


def test_delta_mse_is_the_unexplained_share() -> None:
    actions = np.array([0, 0, 1, 1, 1, 1])
    movements = np.array([[1.0], [3.0], [7.0], [9.0], [7.0], [9.0]])
    assert action_variance(movements, actions, 2).values["action_variance/delta_mse"] == pytest.approx(1 / 9)
    random = np.random.default_rng(0)
    shares = [
        action_variance(vectors, random.integers(0, 3, 2000), 3).values["action_variance/delta_mse"]
        for vectors in (random.normal(size=(2000, 2)), np.full((2000, 2), 0.1))
    ]
    assert shares == [pytest.approx(1, abs=0.01), None]
    assert action_variance(movements * [[1.0, -2.0]], actions, 2).values["action_variance/delta_mse"] == pytest.approx(
        1 / 9
    )


def test_actions_that_hardly_occur() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = action_variance(np.array([[1.0, 0.1], [2.0, 0.1], [5.0, 0.1]]), np.array([0, 0, 2]), 4)
    values = {name.removeprefix("action_variance/"): value for name, value in results.values.items()}
    assert [values[f"frequency/{action}"] for action in range(4)] == pytest.approx([2 / 3, 0, 1 / 3, 0])
    assert (values["mean_vector/1"], values["kurtosis/1"], values["avg_variance/3"]) == (None, None, None)
    assert values["kurtosis/2"] == [None, None]
    assert values["kurtosis/0"] == [-2.0, None]
    assert values["mean_vector/2"] == [5.0, 0.1]
    assert values["avg_variance/mean"] == pytest.approx(0.0625)
    assert results.reasons["action_variance/mean_vector/1"] == "there is no known movement"


def test_no_movement_at_all() -> None:
    results = action_variance(np.zeros((0, 2)), np.zeros(0, np.int64), 2)
    numbers = {value for name, value in results.values.items() if "frequency" not in name}
    assert numbers == {None}
    assert results.values.keys() - results.reasons.keys() == {
        f"action_variance/frequency/{name}" for name in (0, 1, "global")
    }
    still = action_variance(np.zeros((4, 1)), np.arange(4) % 2, 2)
    assert still.reasons == {"action_variance/delta_mse": "all known movements are equal"}

import numpy as np
import pytest

from evaluation.metrics.action_accuracy import confusion_matrix, hungarian_accuracy, movement_accuracy


def test_counts() -> None:
    matrix = confusion_matrix(np.array([0, 2, 2, 0]), np.array([1, 0, 0, 0]), 3)
    assert matrix.tolist() == [[1, 1], [0, 0], [2, 0]]


def test_true_actions_may_be_any_whole_numbers() -> None:
    predicted, true = np.array([0, 1, 1, 0, 1]), np.array([-5, 2**60, 2**60, -5, 7])
    matrix = confusion_matrix(predicted, true, 3)
    assert matrix.tolist() == [[2, 0, 0], [0, 1, 2], [0, 0, 0]]
    assert hungarian_accuracy(matrix) == 0.8


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_renamed_actions_are_right(order: tuple[int, ...]) -> None:
    true = np.random.default_rng(0).integers(0, 3, 100)
    assert hungarian_accuracy(confusion_matrix(np.array(order)[true], true, 3)) == 1


@pytest.mark.parametrize(
    ("confusion", "accuracy"),
    [
        ([[5, 5]], 0.5),  # two true actions cannot share one discovered action
        ([[5], [5]], 0.5),
        ([[3, 4], [0, 3]], 0.6),  # the best match is not the largest entry's
        ([[0, 0], [0, 0]], 0.0),
    ],
)
def test_the_match_is_one_to_one_and_best(confusion: list[list[int]], accuracy: float) -> None:
    assert hungarian_accuracy(np.array(confusion)) == accuracy


def test_no_steps() -> None:
    assert hungarian_accuracy(confusion_matrix(np.zeros(0, int), np.zeros(0, int), 3)) == 0
    assert movement_accuracy(np.zeros((0, 2)), np.zeros(0, int)) == 0


def test_movement_tells_the_action_if_it_is_above_the_jitter() -> None:
    random = np.random.default_rng(0)
    true = random.integers(0, 3, 1000)
    movements = np.stack([4.0 * (true - 1), np.zeros(1000)], axis=1) + random.uniform(-1, 1, (1000, 2))
    assert movement_accuracy(movements, true) > 0.99


def test_movement_that_has_nothing_to_do_with_the_action_is_no_bound() -> None:
    random = np.random.default_rng(0)
    accuracy = movement_accuracy(random.normal(size=(3000, 2)), random.integers(0, 3, 3000))
    assert accuracy < 0.4

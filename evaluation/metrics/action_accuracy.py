"""Agreement of discovered actions with true ones (docs/method.md#action-metrics).

Dimensions: N steps, K discovered actions, G true actions that occur.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment


def confusion_matrix(predicted: np.ndarray, true: np.ndarray, num_predicted: int) -> np.ndarray:
    """Count steps (K, G) by discovered action, 0 to K - 1, and by the values of `true` in ascending order.

    Args:
        predicted: (N,) discovered actions.
        true: (N,) true actions, any integers.
        num_predicted: K.
    """
    values, columns = np.unique(true, return_inverse=True)
    matrix = np.zeros((num_predicted, len(values)), dtype=np.int64)
    np.add.at(matrix, (predicted, columns), 1)
    return matrix


def match_actions(confusion: np.ndarray) -> dict[int, int]:
    """Return the best one-to-one match, from counts (K, G): columns of true actions by discovered action."""
    return dict(zip(*(indices.tolist() for indices in linear_sum_assignment(confusion, maximize=True)), strict=True))


def hungarian_accuracy(confusion: np.ndarray) -> float:
    """Return the accuracy in [0, 1] under the best one-to-one match of actions, from counts (K, G)."""
    agreeing = sum(confusion[pair] for pair in match_actions(confusion).items())
    return float(agreeing / max(1, confusion.sum()))


def movement_accuracy(movements: np.ndarray, true: np.ndarray) -> float:
    """Return the accuracy of actions read from the true movement: an upper bound of what video alone can tell.

    A movement counts as the pair of its directions (negative, none, positive) along both axes; the distance from which
    it counts as a movement is chosen for the best result.

    Args:
        movements: (N, 2) displacement of the controlled object during each step, in any unit.
        true: (N,) true actions.
    """
    distances = np.unique(np.abs(movements).round(6))
    thresholds = distances if len(distances) <= 64 else np.quantile(distances, np.linspace(0, 1, 64))
    best = 0.0
    for threshold in thresholds:
        directions = np.where(np.abs(movements) > threshold, np.sign(movements), 0).astype(np.int64) + 1
        classes = directions[:, 0] * 3 + directions[:, 1]
        best = max(best, hungarian_accuracy(confusion_matrix(classes, true, 9)))
    return best

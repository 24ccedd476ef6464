"""Mutual information of inferred and true actions.

Dimensions: N steps, K inferred actions, G true actions that occur.
"""

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score, normalized_mutual_info_score

from evaluation.metrics.action_accuracy import confusion_matrix, hungarian_accuracy
from evaluation.results import Results

NAMES = (
    "actions/hungarian_accuracy",
    "actions/mutual_information",
    "actions/normalized_mutual_information",
    "actions/adjusted_mutual_information",
)


def action_information(inferred: np.ndarray, true: np.ndarray, actions_count: int) -> Results:
    """Return how well inferred and true actions agree, independently of how the former are numbered.

    Args:
        inferred: (N,) integers from 0 to K - 1.
        true: (N,) any integers.
        actions_count: K.

    Returns:
        Under `actions/`: `hungarian_accuracy` in [0, 1], that of the best one-to-one match; `mutual_information` in
        nats, from 0 to the logarithm of the number of actions; `normalized_mutual_information` in [0, 1], its share of
        the mean of both entropies; and `adjusted_mutual_information`, the same corrected for chance: 0 on average for
        independent actions, 1 for equal ones. All None without steps.
    """
    if not len(true):
        return Results(dict.fromkeys(NAMES), reasons=dict.fromkeys(NAMES, "no step has a known true action"))
    confusion = confusion_matrix(inferred, true, actions_count)
    information = mutual_info_score(None, None, contingency=confusion)
    normalized = normalized_mutual_info_score(true, inferred)
    adjusted = adjusted_mutual_info_score(true, inferred)
    found = map(float, (hungarian_accuracy(confusion), information, normalized, adjusted))
    return Results(dict(zip(NAMES, found, strict=True)), samples={"actions": len(true)})

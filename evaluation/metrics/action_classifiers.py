"""Accuracy of classifiers that predict the action from the movement: Delta-Acc (docs/method.md#action-metrics).

Dimensions: N steps, D coordinates of a movement, K actions.
"""

import warnings

import numpy as np
from sklearn.base import ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.multiclass import OneVsOneClassifier
from sklearn.svm import SVC, LinearSVC

from evaluation.results import Results

MAX_STEPS = 2000
"""Maximum number of steps; if there are more, as many are drawn, since fitting time grows faster than their number."""

MAX_ITERATIONS = 20_000
"""Maximum number of iterations of a fit: movements with outliers would take hours."""

CLASSIFIERS: dict[str, ClassifierMixin] = {
    "linear": LinearSVC(random_state=0),
    "rbf": SVC(kernel="rbf", max_iter=MAX_ITERATIONS),
    "poly": SVC(kernel="poly", max_iter=MAX_ITERATIONS),
    "linear_ovo": OneVsOneClassifier(LinearSVC(random_state=0)),
}
"""Support vector machines with scikit-learn's settings except for the iterations; `linear` is the paper's."""

NUM_FOLDS = 5

Fold = tuple[np.ndarray, np.ndarray]
"""Indices of the steps that a classifier is fitted to, and of those that it is tested on."""

_NO_ACTIONS = "the action, or any other, is taken in no step with a known movement"
_NO_FOLDS = "there are too few actions, steps or sequences to fit to some and test on others"

PROTOCOL = (
    "action_accuracy: accuracy on the very steps that the classifier was fitted to, as published; "
    f"cross_validated_action_accuracy: on those of {NUM_FOLDS} stratified folds that it was not, each sequence in one "
    f"fold. Of more than {MAX_STEPS} steps as many are drawn."
)


def action_classifiers(
    movements: np.ndarray, actions: np.ndarray, actions_count: int, sequences: np.ndarray | None = None, seed: int = 0
) -> Results:
    """Return the accuracies of `CLASSIFIERS` that predict the action from the movement.

    Args:
        movements: (N, D), finite, in any unit.
        actions: (N,) integers from 0 to K - 1.
        actions_count: K.
        sequences: (N,) index of each step's sequence, so that no sequence is in both parts of a fold; None if steps do
            not depend on each other.
        seed: seed of the folds, and of the choice among more than `MAX_STEPS` steps.

    Returns:
        For each classifier `<name>/action_accuracy` and `<name>/cross_validated_action_accuracy` in [0, 1], and
        `<name>/action_accuracy/<action>`, the share of an action's steps that is predicted correctly. None with a
        reason if there are too few actions or sequences.
    """
    if len(actions) > MAX_STEPS:
        drawn = np.random.default_rng(seed).choice(len(actions), MAX_STEPS, replace=False)
        movements, actions = movements[drawn], actions[drawn]
        sequences = None if sequences is None else sequences[drawn]
    everything = np.arange(len(actions))
    folds = _folds(actions, sequences, seed)
    results = Results(samples=dict.fromkeys(CLASSIFIERS, len(actions)), protocol=dict.fromkeys(CLASSIFIERS, PROTOCOL))
    for name, classifier in CLASSIFIERS.items():
        with warnings.catch_warnings(record=True, category=ConvergenceWarning) as unfinished:
            fitted = _told_right(classifier, movements, actions, [(everything, everything)])
            held_out = _told_right(classifier, movements, actions, folds)
        if unfinished:
            results.warnings.append(f"{name}/action_accuracy: fits were ended before they converged")
        by_action = {f"{name}/action_accuracy/{action}": fitted[actions == action] for action in range(actions_count)}
        told_right = {f"{name}/action_accuracy": fitted, f"{name}/cross_validated_action_accuracy": held_out}
        for key, told in (told_right | by_action).items():
            results.values[key] = None if np.isnan(told).all() else float(np.nanmean(told))
    missing = [key for key, value in results.values.items() if value is None]
    results.reasons |= {key: _NO_FOLDS if "cross_validated" in key else _NO_ACTIONS for key in missing}
    return results


def _folds(actions: np.ndarray, sequences: np.ndarray | None, seed: int) -> list[Fold]:
    """Return the folds of some steps; none if there can be fewer than two."""
    num_folds = min(NUM_FOLDS, np.bincount(actions, minlength=1).max())
    splitter = StratifiedKFold
    if sequences is not None:
        num_folds = min(num_folds, len(np.unique(sequences)))
        splitter = StratifiedGroupKFold
    if num_folds < 2:
        return []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # rare actions count as errors
        return list(splitter(num_folds, shuffle=True, random_state=seed).split(actions, actions, sequences))


def _told_right(
    classifier: ClassifierMixin, movements: np.ndarray, actions: np.ndarray, folds: list[Fold]
) -> np.ndarray:
    """Return whether the action is predicted correctly at each step that a fold tests: (N,) 0 or 1.

    NaN for steps that no fold tests, and for all steps if a fold has fewer than two actions to fit to.
    """
    told_right = np.full(len(actions), np.nan)
    if all(len(np.unique(actions[fitted])) > 1 for fitted, _ in folds):
        for fitted, tested in folds:
            classifier = clone(classifier).fit(movements[fitted], actions[fitted])
            told_right[tested] = classifier.predict(movements[tested]) == actions[tested]
    return told_right

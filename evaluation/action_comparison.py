"""The inferred actions beside true movements, true actions and generated movements (docs/method.md#action-metrics).

Dimensions: G sequences, B of them in a batch, T frames of each, D coordinates of a position, K actions, N steps.
"""

from typing import Any

import numpy as np

from evaluation.metric import Metric, PairBatch
from evaluation.metrics import action_classifiers
from evaluation.metrics.action_accuracy import confusion_matrix, match_actions
from evaluation.metrics.action_information import action_information
from evaluation.metrics.action_variance import action_variance
from evaluation.metrics.bootstrap import bootstrap_interval
from evaluation.metrics.detection import detection_errors
from evaluation.movement.tracker import Tracker
from evaluation.results import Results


class ActionComparison(Metric):
    """Collects inferred actions, true actions and positions, and compares them."""

    def __init__(self, actions_count: int, tracker: Tracker | None, *, knows_actions: bool) -> None:
        """Start without batches.

        Args:
            actions_count: K.
            tracker: finds the object that the actions move; None leaves out all results that need movement.
            knows_actions: whether true actions are given.
        """
        self.actions_count = actions_count
        self.tracker = tracker
        self.knows_actions = knows_actions
        self._inferred: list[np.ndarray] = []  # (B, T-1) each
        self._true: list[np.ndarray] = []
        self._positions: list[np.ndarray] = []  # (B, T, D) each
        self._generated_positions: list[np.ndarray] = []

    def add(self, batch: PairBatch) -> None:
        """Add a batch."""
        pairs = batch.pairs
        self._inferred.append(pairs.inferred_actions)
        self._true.append(pairs.true_actions)
        if self.tracker:
            self._positions.append(self.tracker.positions(pairs.reference, pairs.reference_metadata))
            if self.tracker.sees_frames:
                found = self.tracker.positions(pairs.generated, pairs.generated_metadata)
                self._generated_positions.append(found)

    @property
    def usage(self) -> np.ndarray:
        """How often each action was inferred: (K,)."""
        return np.bincount(np.concatenate(self._inferred).ravel(), minlength=self.actions_count)

    @property
    def confusion(self) -> np.ndarray:
        """Counts (K, number of true actions) by inferred action and by the values of `true_actions`."""
        inferred, true = np.concatenate(self._inferred), np.concatenate(self._true)
        return confusion_matrix(inferred.ravel(), true.ravel(), self.actions_count)

    @property
    def true_actions(self) -> list[int]:
        """The values of the true actions that occur, in ascending order."""
        return np.unique(np.concatenate(self._true)).tolist()

    def movements(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the known movements (N, D) in true frames, and the inferred action and sequence of each: (N,)."""
        inferred = np.concatenate(self._inferred)
        movements = np.diff(np.concatenate(self._positions), axis=1)  # (G, T-1, D)
        is_known = np.isfinite(movements).all(axis=-1)
        return movements[is_known], inferred[is_known], np.nonzero(is_known)[0]

    def results(self) -> Results:
        """Return all numbers about the actions."""
        results = Results()
        for action, count in enumerate(self.usage.tolist()):
            results.values[f"action_usage/{action}"] = count / max(1, self.usage.sum())
        results.samples["action_usage"] = int(self.usage.sum())
        if self.tracker:
            movements, actions, sequences = self.movements()
            results.protocol["movement"] = self.tracker.rule
            results.include(action_variance(movements, actions, self.actions_count))
            results.include(action_classifiers.action_classifiers(movements, actions, self.actions_count, sequences))
        if self._generated_positions:
            results.include(
                detection_errors(np.concatenate(self._positions), np.concatenate(self._generated_positions))
            )
        if self.knows_actions:
            results.include(self._agreement())
        return results

    def evidence(self) -> dict[str, Any]:
        """Return the usage of the actions, the movements during each, and the confusion with the true ones."""
        movements, movement_actions, _ = self.movements() if self.tracker else (None, None, None)
        return {
            "actions_count": self.actions_count,
            "action_usage": self.usage,
            "movements": movements,
            "movement_actions": movement_actions,
            "movement_unit": self.tracker.unit if self.tracker else "",
            "confusion": self.confusion if self.knows_actions else None,
            "true_actions": self.true_actions if self.knows_actions else [],
        }

    def _agreement(self) -> Results:
        inferred, true = np.concatenate(self._inferred), np.concatenate(self._true)
        results = action_information(inferred.ravel(), true.ravel(), self.actions_count)
        columns = match_actions(self.confusion)
        matching = np.array([columns.get(action, -1) for action in range(self.actions_count)])
        is_right = matching[inferred] == np.searchsorted(self.true_actions, true)
        if interval := bootstrap_interval(is_right.astype(np.float64)):
            results.intervals["actions/hungarian_accuracy"] = list(interval)
        return results

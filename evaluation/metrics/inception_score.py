"""The Inception score: how distinct and how diverse frames are (Salimans et al. 2016).

Dimensions: N frames, K classes.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

NUM_SPLITS = 10
LEAST_SPLIT = 100
"""Minimum number of frames in a split, unless there are fewer in total."""

PROTOCOL = (
    f"exp of the mean KL divergence of each frame's 1008 class probabilities from their mean: mean and deviation over "
    f"{NUM_SPLITS} splits, fewer where a split would have fewer than {LEAST_SPLIT} frames. Frames are dealt to splits "
    "in turn, so that those of one sequence spread."
)


@dataclass(frozen=True)
class Score:
    """An Inception score: from 1 to the number of classes."""

    mean: float
    deviation: float | None
    """Standard deviation over the splits; None if there is only one."""
    num_splits: int


class InceptionScore:
    """The Inception score of frames whose class probabilities are added in batches."""

    def __init__(self, num_classes: int) -> None:
        """Start without frames."""
        self.count = 0
        self._counts = np.zeros(NUM_SPLITS)
        self._probabilities = np.zeros((NUM_SPLITS, num_classes))  # sums over frames
        self._negative_entropies = np.zeros(NUM_SPLITS)

    def add(self, probabilities: np.ndarray) -> None:
        """Add the class probabilities (N, K) of frames."""
        probabilities = probabilities.astype(np.float64)
        dealt = np.eye(NUM_SPLITS)[(self.count + np.arange(len(probabilities))) % NUM_SPLITS]  # (N, splits)
        self._counts += dealt.sum(axis=0)
        self._probabilities += dealt.T @ probabilities
        self._negative_entropies += dealt.T @ xlogy(probabilities, probabilities).sum(axis=1)
        self.count += len(probabilities)

    def score(self) -> Score:
        """Return the score of all frames added so far.

        Raises:
            ValueError: there are none.
        """
        if self.count == 0:
            raise ValueError("the Inception score takes at least 1 frame, there are 0")
        num_splits = int(np.clip(self.count // LEAST_SPLIT, 1, NUM_SPLITS))
        starts = np.arange(num_splits) * NUM_SPLITS // num_splits
        counts = np.add.reduceat(self._counts, starts)
        marginals = np.add.reduceat(self._probabilities, starts) / counts[:, None]
        information = np.add.reduceat(self._negative_entropies, starts) / counts - xlogy(marginals, marginals).sum(
            axis=1
        )
        scores = np.exp(information)
        return Score(float(scores.mean()), float(scores.std()) if num_splits > 1 else None, num_splits)

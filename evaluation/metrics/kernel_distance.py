"""Kernel distance of two sets of Inception features: KID (Bińkowski et al. 2018).

Dimensions: N samples, F features.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics.pairwise import polynomial_kernel

NUM_SUBSETS = 100
SUBSET_SIZE = 1000
CAPACITY = 10_000

PROTOCOL = (
    f"Unbiased squared MMD of Inception pool3 features with the kernel (x.y / 2048 + 1)^3: mean and deviation over "
    f"{NUM_SUBSETS} random subsets of {SUBSET_SIZE} frames, out of at most {CAPACITY} frames drawn evenly from each "
    f"set. A set of at most {SUBSET_SIZE} frames is taken whole, once."
)


class FeatureSample:
    """A uniform random sample of at most `CAPACITY` features out of those added in batches.

    The sample depends on the seed and the order of the features, not on the batches.
    """

    def __init__(self, num_features: int, seed: int = 0, capacity: int = CAPACITY) -> None:
        """Start without features."""
        self.features = np.empty((0, num_features), np.float32)
        self._ranks = np.empty(0)
        self._capacity = capacity
        self._random = np.random.default_rng(seed)

    def add(self, features: np.ndarray) -> None:
        """Add features (N, F); those of the lowest random ranks are kept."""
        ranks = np.concatenate([self._ranks, self._random.random(len(features))])
        kept = np.sort(np.argsort(ranks)[: self._capacity])
        self.features = np.concatenate([self.features, features])[kept]
        self._ranks = ranks[kept]


@dataclass(frozen=True)
class KernelDistance:
    """The unbiased estimate of a squared distance, which may be negative."""

    mean: float
    deviation: float | None
    """Standard deviation over the subsets; None if there is only one."""
    num_subsets: int


def kernel_distance(a: np.ndarray, b: np.ndarray, seed: int = 0) -> KernelDistance:
    """Return the kernel distance between two sets of features (N, F); the two N may differ.

    Raises:
        ValueError: a set has fewer than two samples, or features that are not finite.
    """
    random = np.random.default_rng(seed)
    is_whole = max(len(a), len(b)) <= SUBSET_SIZE
    num_subsets = 1 if is_whole else NUM_SUBSETS
    estimates = [squared_mmd(*(_subset(features, random) for features in (a, b))) for _ in range(num_subsets)]
    return KernelDistance(float(np.mean(estimates)), None if is_whole else float(np.std(estimates)), num_subsets)


def squared_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """Return the unbiased squared maximum mean discrepancy of samples (N, F), with the kernel (x.y / F + 1)^3.

    Raises:
        ValueError: a set has fewer than two samples, or features that are not finite.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"KID takes at least 2 samples of each set, there are {len(a)} and {len(b)}")
    a, b = a.astype(np.float64), b.astype(np.float64)
    within = (_mean_of_pairs(polynomial_kernel(samples)) for samples in (a, b))
    return float(sum(within) - 2 * polynomial_kernel(a, b).mean())


def _mean_of_pairs(kernel: np.ndarray) -> float:
    """Return the mean of a square kernel matrix without its diagonal."""
    return float((kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)))


def _subset(features: np.ndarray, random: np.random.Generator) -> np.ndarray:
    if len(features) <= SUBSET_SIZE:
        return features
    return features[random.choice(len(features), SUBSET_SIZE, replace=False)]

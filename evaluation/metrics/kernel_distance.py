"""How far two sets of frames are from each other by their Inception features: KID (Bińkowski et al. 2018).

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
    """An even random sample of features that come in batches; memory does not grow beyond `CAPACITY` of them.

    What is drawn depends on the seed and on the order of the features, not on how they are batched.
    """

    def __init__(self, num_features: int, seed: int = 0, capacity: int = CAPACITY) -> None:
        """Start without features."""
        self.features = np.empty((0, num_features), np.float32)
        self._ranks = np.empty(0)
        self._capacity = capacity
        self._random = np.random.default_rng(seed)

    def add(self, features: np.ndarray) -> None:
        """Take in features (N, F): those of the lowest random ranks are kept."""
        ranks = np.concatenate([self._ranks, self._random.random(len(features))])
        kept = np.sort(np.argsort(ranks)[: self._capacity])
        self.features = np.concatenate([self.features, features])[kept]
        self._ranks = ranks[kept]


@dataclass(frozen=True)
class KernelDistance:
    """The unbiased estimate of a squared distance, which may be below 0."""

    mean: float
    deviation: float | None  # standard deviation over subsets; None where there is one
    num_subsets: int


def kernel_distance(a: np.ndarray, b: np.ndarray, seed: int = 0) -> KernelDistance:
    """The kernel distance between features (N, F) each; the two N may differ.

    Raises:
        ValueError: a set has fewer than two samples, or features that are not finite.
    """
    random = np.random.default_rng(seed)
    is_whole = max(len(a), len(b)) <= SUBSET_SIZE
    num_subsets = 1 if is_whole else NUM_SUBSETS
    estimates = [squared_mmd(*(_subset(features, random) for features in (a, b))) for _ in range(num_subsets)]
    return KernelDistance(float(np.mean(estimates)), None if is_whole else float(np.std(estimates)), num_subsets)


def squared_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """The unbiased squared maximum mean discrepancy of samples (N, F) each, with the kernel (x.y / F + 1)^3.

    Raises:
        ValueError: a set has fewer than two samples, or features that are not finite.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"KID takes at least 2 samples of each set, there are {len(a)} and {len(b)}")
    a, b = a.astype(np.float64), b.astype(np.float64)
    within = (_mean_of_pairs(polynomial_kernel(samples)) for samples in (a, b))
    return float(sum(within) - 2 * polynomial_kernel(a, b).mean())


def _mean_of_pairs(kernel: np.ndarray) -> float:
    """The mean of a square kernel matrix without its diagonal."""
    return float((kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)))


def _subset(features: np.ndarray, random: np.random.Generator) -> np.ndarray:
    if len(features) <= SUBSET_SIZE:
        return features
    return features[random.choice(len(features), SUBSET_SIZE, replace=False)]

"""Fréchet distance of two sets of features: FID and FVD (docs/method.md#set-metrics).

Dimensions: N samples, F features.
"""

import numpy as np
from scipy import linalg


class GaussianStatistics:
    """The mean and covariance of samples added in batches, in float64."""

    def __init__(self, num_features: int) -> None:
        """Start without samples."""
        self.count = 0
        self.mean = np.zeros(num_features)
        self._scatter = np.zeros((num_features, num_features))  # sum of outer products of deviations from the mean

    def add(self, samples: np.ndarray) -> None:
        """Add samples (N, F)."""
        batch = GaussianStatistics(len(self.mean))
        batch.count = len(samples)
        batch.mean = samples.mean(axis=0, dtype=np.float64)
        deviations = samples - batch.mean
        batch._scatter = deviations.T @ deviations
        self.merge(batch)

    def merge(self, other: "GaussianStatistics") -> None:
        """Add the samples of another set."""
        count = self.count + other.count
        shift = other.mean - self.mean
        self._scatter += other._scatter + np.outer(shift, shift) * (self.count * other.count / count)
        self.mean = self.mean + shift * (other.count / count)
        self.count = count

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance (F, F).

        Raises:
            ValueError: there are fewer than two samples.
        """
        if self.count < 2:
            raise ValueError(f"a covariance takes at least 2 samples, there are {self.count}")
        covariance: np.ndarray = self._scatter / (self.count - 1)
        return covariance

    @property
    def is_singular(self) -> bool:
        """Whether there are too few samples for a covariance of full rank."""
        return self.count <= len(self.mean)


def frechet_distance(a: GaussianStatistics, b: GaussianStatistics) -> float:
    """Return the squared Fréchet distance of two Gaussians, at least 0.

    It is |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)).

    The trace of the root is the sum of the roots of the eigenvalues of S_a^(1/2) S_b S_a^(1/2), which is symmetric.

    Raises:
        ValueError: a set has fewer than two samples, or features that are not finite.
    """
    values, vectors = linalg.eigh(a.covariance)
    root = vectors * np.sqrt(values.clip(min=0)) @ vectors.T
    product = root @ b.covariance @ root
    roots = np.sqrt(linalg.eigvalsh((product + product.T) / 2).clip(min=0))
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    return max(0.0, float(np.square(a.mean - b.mean).sum() + traces - 2 * roots.sum()))


def few_samples_warning(metric: str, *sets: GaussianStatistics) -> str | None:
    """Return a warning if sets are too small for covariances of full rank, else None."""
    smallest = min(sets, key=lambda statistics: statistics.count)
    if not smallest.is_singular:
        return None
    return (
        f"{metric}: {smallest.count} samples are too few for a covariance of {len(smallest.mean)} features; the "
        "distance is too large, and comparable only between sets of as many samples"
    )

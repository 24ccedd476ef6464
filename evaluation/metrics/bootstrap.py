"""Bootstrap confidence intervals of averages over sequences.

Dimensions: G sequences, n values of each, such as one per frame.
"""

import numpy as np


def bootstrap_interval(values: np.ndarray, seed: int = 0, resamples: int = 2000) -> tuple[float, float] | None:
    """Return the bootstrap 95% interval (low, high) of the mean of all values, by percentiles.

    Whole sequences are resampled, since the values of a sequence depend on each other.

    Args:
        values: (G,) or (G, n), NaN where unknown.
        seed: seed of the resampling.
        resamples: how often G sequences are drawn, with replacement.

    Returns:
        The interval; None if fewer than two sequences have known values.
    """
    values = np.atleast_2d(values.T).T
    values = values[~np.isnan(values).all(axis=1)]
    if len(values) < 2:
        return None
    sums, counts = np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1)
    drawn = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)

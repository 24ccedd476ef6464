"""Distance of windows of generated frames from true ones, which needs no true frame of the same moment.

It is the Fréchet distance of the frames' `appearance`. As these features are not learned, distances of different models
on the same data can be compared.

Dimensions: G sequences, T frames of each, F features.
"""

import numpy as np

from evaluation.metrics.frechet_distance import GaussianStatistics, frechet_distance
from evaluation.play.estimates import Estimate, Timeline

WINDOW = 50
"""Number of frames of a window."""

DEVIATIONS = 1.96
"""Standard errors on either side of an estimate that make a 95% interval."""


def distances_of_windows(features: np.ndarray, true: np.ndarray) -> Timeline:
    """Return the distance of each whole window of generated frames from all true frames.

    Args:
        features: (G, T, F) of the generated frames 1 to T.
        true: (sequences, frames, F).
    """
    reference = _statistics(true)
    firsts = range(0, features.shape[1] - WINDOW + 1, WINDOW) or range(1)
    return Timeline.of_estimates(
        {first + 1: _distance(features[:, first : first + WINDOW], reference) for first in firsts}
    )


def true_distance(true: np.ndarray, num_sequences: int) -> Estimate:
    """Return the distance of the first frames of some true sequences from the other sequences: what is unavoidable.

    Args:
        true: (G, T, F).
        num_sequences: number of sequences that are compared with the others; at most half of them are.

    Returns:
        The distance; unknown for fewer than four sequences.
    """
    count = min(num_sequences, len(true) // 2)
    if count < 2:
        return Estimate(None, None, 0)
    compared = np.zeros(len(true), np.bool_)
    compared[np.linspace(0, len(true) - 1, count).astype(int)] = True
    return _distance(true[compared, :WINDOW], _statistics(true[~compared]))


def _distance(features: np.ndarray, reference: GaussianStatistics) -> Estimate:
    """Return the distance of sequences (G, T, F) from a reference.

    The interval is that of the jackknife: resampled sequences repeat frames, which would increase the distance.
    """
    num_sequences, num_frames, _ = features.shape
    if num_sequences * num_frames < 2:
        return Estimate(None, None, 0)
    value = frechet_distance(_statistics(features), reference)
    interval = None
    if (num_sequences - 1) * num_frames > 1:
        without = [np.delete(features, index, axis=0) for index in range(num_sequences)]
        others = np.array([frechet_distance(_statistics(part), reference) for part in without])
        error = DEVIATIONS * float(np.sqrt((num_sequences - 1) * others.var()))
        interval = max(0.0, value - error), value + error
    return Estimate(value, interval, num_sequences * num_frames)


def _statistics(features: np.ndarray) -> GaussianStatistics:
    statistics = GaussianStatistics(features.shape[-1])
    statistics.add(features.reshape(-1, features.shape[-1]).astype(np.float64))
    return statistics

"""Metrics of each generated frame against the true one (docs/method.md#frame-metrics).

Dimensions: G sequences, B of them in a batch, T frames of each, H x W pixels.
"""

from collections.abc import Callable, Mapping

import numpy as np
from torch import Tensor

from evaluation.metric import Metric, PairBatch
from evaluation.metrics.bootstrap import bootstrap_interval
from evaluation.results import Results
from utils.command import UserError

FrameMetric = Callable[[Tensor, Tensor], Tensor]
"""Compares true and generated frames (B, T, 3, H, W) in [0, 1] and returns (B, T)."""

PROTOCOL = (
    "avg and var: over all frames, as published, the first of each sequence, which is the true one, included; "
    "avg_generated: without it. Intervals resample sequences."
)


class FrameComparison(Metric):
    """Collects the values of some metrics for each frame."""

    def __init__(self, metrics: Mapping[str, FrameMetric], num_sequences: int, num_frames: int) -> None:
        """Allocate arrays for the values of the metrics, given by name, for G sequences of T frames.

        Small arrays kept from batch to batch would fragment the memory, so that it could not be returned to the system.
        """
        self._metrics = metrics
        self._values = {name: np.empty((num_sequences, num_frames)) for name in metrics}
        self._num_added = 0

    def add(self, batch: PairBatch) -> None:
        """Compare the frames of a batch.

        Raises:
            UserError: a value is not finite.
        """
        added = slice(self._num_added, self._num_added + len(batch.reference))
        self._num_added = added.stop
        for name, metric in self._metrics.items():
            values = metric(batch.reference, batch.generated).cpu().numpy()
            is_finite = np.isfinite(values).all(axis=1)
            if not is_finite.all():
                sequence = batch.pairs.names[int(np.flatnonzero(~is_finite)[0])]
                raise UserError(f"{name} of the sequence '{sequence}' is not finite; mend its frames, or leave it out")
            self._values[name][added] = values

    def results(self) -> Results:
        """Return the averages, variances and averages by position of each metric, with intervals."""
        results = Results(protocol=dict.fromkeys(self._metrics, PROTOCOL))
        for name, values in self._values.items():
            averaged = {"avg": values, "avg_generated": values[:, 1:]}
            averaged |= {str(position): column for position, column in enumerate(values.T)}
            results.values[f"{name}/var"] = float(values.var())
            for part, samples in averaged.items():
                results.values[f"{name}/{part}"] = float(samples.mean())
                if interval := bootstrap_interval(samples):
                    results.intervals[f"{name}/{part}"] = list(interval)
            results.samples[name] = values.size
        return results

"""The sequences with the lowest and the highest mean squared error, for the report."""

from typing import Any

from evaluation.metric import Metric, PairBatch
from evaluation.metrics.frame_errors import mse
from evaluation.results import Results, SequencePair

NUM_SHOWN_PAIRS = 3
"""Number of best sequences, and of worst ones."""


class Extremes(Metric):
    """Keeps the best and the worst sequences so far; has no numbers."""

    def __init__(self) -> None:
        self._best: list[SequencePair] = []
        self._worst: list[SequencePair] = []

    def add(self, batch: PairBatch) -> None:
        """Add a batch."""
        errors = mse(batch.reference, batch.generated).double().mean(dim=1).tolist()
        entries = zip(batch.pairs.names, errors, batch.pairs.reference, batch.pairs.generated, strict=True)
        pairs = [SequencePair(*entry) for entry in entries]
        self._best = sorted(self._best + pairs, key=lambda pair: pair.mse)[:NUM_SHOWN_PAIRS]
        self._worst = sorted(self._worst + pairs, key=lambda pair: -pair.mse)[:NUM_SHOWN_PAIRS]

    def results(self) -> Results:
        """Return empty results."""
        return Results()

    def evidence(self) -> dict[str, Any]:
        """Return `best` and `worst`."""
        return {"best": self._best, "worst": self._worst}

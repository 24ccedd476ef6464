"""The interface of the metrics of `evaluate_dataset.py`, which `evaluation.all_metrics` lists.

Dimensions: B sequences in a batch, T frames of each, H x W pixels.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from evaluation.configuration import EvaluationConfiguration
from evaluation.metrics.frame_errors import unit_frames
from evaluation.results import Results
from evaluation.sequence_pairs import Pairs, SequencePairs
from utils.command import UserError

Needed = TypeVar("Needed")


@dataclass(frozen=True)
class PairBatch:
    """A batch of pairs of sequences, with their frames on the device of the metrics."""

    pairs: Pairs
    reference: Tensor  # (B, T, 3, H, W) in [0, 1]
    generated: Tensor  # (B, T, 3, H, W) in [0, 1]

    @classmethod
    def of(cls, pairs: Pairs, device: torch.device) -> "PairBatch":
        """Move the frames of pairs to a device."""
        frames = (torch.from_numpy(frames).to(device) for frames in (pairs.reference, pairs.generated))
        return cls(pairs, *map(unit_frames, frames))


class Metric(ABC):
    """A metric: collects values batch by batch, then returns numbers."""

    @abstractmethod
    def add(self, batch: PairBatch) -> None:
        """Add a batch.

        Raises:
            UserError: something in it cannot be measured.
        """

    @abstractmethod
    def results(self) -> Results:
        """Return the numbers, with their intervals, numbers of samples, reasons and protocol."""

    def evidence(self) -> dict[str, Any]:
        """Return fields of `evaluation.results.Evidence`, which the report shows beside the numbers."""
        return {}


class NotAskedFor(Exception):
    """A metric was not requested, or the data do not allow it; the message says why."""


@dataclass
class Needs:
    """What metrics are made from; notes what is missing, and for which metrics."""

    config: EvaluationConfiguration
    pairs: SequencePairs
    device: torch.device
    unavailable: dict[str, str] = field(default_factory=dict)
    """Why a metric that was requested is absent, by metric-name prefix."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Why a metric that was not requested is absent, by metric-name prefix."""

    @property
    def num_frames(self) -> int:
        """The number of frames T of a sequence."""
        return self.config.evaluation.batching.observations_count

    @property
    def actions_count(self) -> int:
        """The number of actions K."""
        return self.config.data.actions_count

    def get(self, names: Sequence[str], load: Callable[[], Needed]) -> Needed | None:
        """Load something that metrics need; networks are moved to the device.

        Args:
            names: prefixes of the metrics' names.
            load: loads it; raises `UserError` if it cannot be loaded, and `NotAskedFor` if it is not requested.

        Returns:
            What was loaded; None if it is missing, with the reason noted.
        """
        try:
            needed = load()
        except UserError as error:
            self.unavailable |= dict.fromkeys(names, str(error))
        except NotAskedFor as reason:
            self.left_out |= dict.fromkeys(names, str(reason))
        else:
            return needed.to(self.device) if isinstance(needed, nn.Module) else needed
        return None

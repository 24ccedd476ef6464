"""What a metric of `evaluate_dataset.py` is. `evaluation.all_metrics` lists those that there are.

Dimensions: B sequences in a batch, T frames of each, H x W pixels.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from evaluation.configuration import EvaluationConfiguration
from evaluation.results import Results
from evaluation.sequence_pairs import Pairs, SequencePairs
from utils.command import UserError

Needed = TypeVar("Needed")


@dataclass(frozen=True)
class PairBatch:
    """Some sequences, with their frames where metrics compute."""

    pairs: Pairs
    reference: Tensor  # (B, T, 3, H, W) in [0, 1]
    generated: Tensor  # (B, T, 3, H, W) in [0, 1]

    @classmethod
    def of(cls, pairs: Pairs, device: torch.device) -> "PairBatch":
        """Move the frames to a device."""
        frames = (torch.from_numpy(frames).to(device) for frames in (pairs.reference, pairs.generated))
        reference, generated = (frames.movedim(-1, 2).float() / 255 for frames in frames)
        return cls(pairs, reference, generated)


class Metric(ABC):
    """Gathers what it needs of each batch, and makes numbers of it."""

    @abstractmethod
    def add(self, batch: PairBatch) -> None:
        """Take in a batch. `UserError` if something in it cannot be measured."""

    @abstractmethod
    def results(self) -> Results:
        """The numbers, with their intervals, numbers of samples, reasons and protocol."""

    def evidence(self) -> dict[str, Any]:
        """Fields of `evaluation.results.Evidence`, which the report shows beside the numbers."""
        return {}


class NotAskedFor(Exception):
    """The configuration leaves something out, or the data are not made for it. The message says why."""


@dataclass
class Needs:
    """What metrics are made from. What cannot be had is noted, with the names of the metrics that lack it."""

    config: EvaluationConfiguration
    pairs: SequencePairs
    device: torch.device
    unavailable: dict[str, str] = field(default_factory=dict)
    """Why something that the configuration asks for is missing, by the beginning of its metrics' names."""
    left_out: dict[str, str] = field(default_factory=dict)
    """The same of what it does not ask for."""

    @property
    def num_frames(self) -> int:
        """T."""
        return self.config.evaluation.batching.observations_count

    @property
    def actions_count(self) -> int:
        """K."""
        return self.config.data.actions_count

    def get(self, names: Sequence[str], load: Callable[[], Needed]) -> Needed | None:
        """Load what some metrics need; networks are moved to the device.

        Args:
            names: the beginnings of the metrics' names.
            load: raises `UserError` if it cannot be had, and `NotAskedFor` if it is not wanted.

        Returns:
            None, with the reason noted, if it is not there.
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

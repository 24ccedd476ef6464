"""What an evaluation finds: the numbers of `data.yml`, and the evidence that its report shows beside them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Value = float | int | list[Any] | None


@dataclass
class Results:
    """The numbers, under SPEC's names where it has them."""

    values: dict[str, Value] = field(default_factory=dict)
    """Metric by name; None where it could not be computed, for which `reasons` has the reason. Averages per position
    (0 is the sequence's first frame) end in its number: `mse/avg`, `mse/var`, `mse/0`, `mse/1`, ..."""
    intervals: dict[str, list[float]] = field(default_factory=dict)
    """Bootstrap 95% interval [low, high] of averages, by the name of the metric. Sequences are what is resampled."""
    samples: dict[str, int] = field(default_factory=dict)
    """The number of samples (frames, steps or sequences) behind a metric, by its name without the last part."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a metric is None, by its name, one line each."""
    warnings: list[str] = field(default_factory=list)
    """What limits the trust in numbers, one line each: too few samples for a covariance, for example."""
    protocol: dict[str, str] = field(default_factory=dict)
    """How a metric is computed where papers differ, by its name."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Native YAML types: run_name, date, configuration, checkpoint_sha256, data roots, versions."""


@dataclass(frozen=True)
class SequencePair:
    """A generated sequence and the true one that it should equal."""

    name: str
    """Where it is from: `<video>, from frame <start>`."""
    mse: float
    reference: np.ndarray  # uint8 (T, H, W, 3)
    generated: np.ndarray  # uint8 (T, H, W, 3)


@dataclass(frozen=True)
class Evidence:
    """What is shown beside the numbers. Actions are numbered from 0 here and named from 1 in everything shown."""

    actions_count: int
    action_usage: np.ndarray  # (K,) how often each action was inferred
    movements: np.ndarray | None  # (N, D) finite, D is 1 or 2: steps with known movement
    movement_actions: np.ndarray | None  # (N,) the action inferred in each of them
    movement_unit: str  # such as "pixels"
    confusion: np.ndarray | None  # counts (K, G) by inferred and true action, None if the truth is unknown
    true_actions: list[int]  # (G,) the values of the true actions
    best: list[SequencePair]
    worst: list[SequencePair]
    demonstrations: dict[
        int, np.ndarray
    ]  # action: uint8 (starts, T, H, W, 3), that action repeated from several starts

"""What an evaluation finds: the numbers of `data.yml`, and the evidence that its report shows beside them.

Dimensions: N steps, D coordinates of a movement, K inferred actions, G true actions that occur, T frames
of H x W pixels.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from utils.command import UserError, one_line
from utils.files import replacing

Value = float | int | list[Any] | None
"""Lists hold numbers and None, or such lists."""
Entry = TypeVar("Entry")

DISTANCE = "detection/center_distance"
"""The mean distance of detections, by position and `global` (docs/method.md#action-metrics: ADD)."""


@dataclass(frozen=True)
class Headline:
    """A metric that readers look for first."""

    name: str
    title: str
    better: Literal["lower", "higher", ""]
    """Which values are better; empty if neither is."""


HEADLINES = (
    Headline("lpips/avg", "LPIPS", "lower"),
    Headline("fid", "FID", "lower"),
    Headline("fvd", "FVD", "lower"),
    Headline("psnr/avg", "PSNR, dB", "higher"),
    Headline("ssim/avg", "SSIM", "higher"),
    Headline("mse/avg", "MSE", "lower"),
    Headline("motion_masked_mse/avg", "MSE where it moves", "lower"),
    Headline("vgg_cosine_similarity/avg", "VGG cosine similarity", "higher"),
    Headline("kid/mean", "KID", "lower"),
    Headline("inception_score/mean", "Inception score", "higher"),
    Headline(f"{DISTANCE}/global", "ADD", "lower"),
    Headline("detection/missed_detection_rate/global", "MDR", "lower"),
    Headline("action_variance/delta_mse", "Δ-MSE", "lower"),
    Headline("linear/action_accuracy", "Δ-Acc", "higher"),
    Headline("linear/cross_validated_action_accuracy", "Δ-Acc, cross-validated", "higher"),
    Headline("action_variance/avg_variance/mean", "Variance within an action", "lower"),
    Headline("actions/hungarian_accuracy", "Accuracy of actions", "higher"),
    Headline("actions/mutual_information", "Mutual information, nats", "higher"),
)
"""In the order in which they are shown."""


@dataclass
class Results:
    """The numbers, under the published names where there are any."""

    values: dict[str, Value] = field(default_factory=dict)
    """Metric by name; None where it could not be computed, for which `reasons` has the reason. Averages per position
    (0 is the sequence's first frame) end in its number: `mse/avg`, `mse/var`, `mse/0`, `mse/1`, ..., and so do
    those per action: `action_variance/frequency/0`, ..."""
    intervals: dict[str, list[float]] = field(default_factory=dict)
    """Bootstrap 95% interval [low, high] of averages, by the name of the metric. Sequences are what is resampled."""
    samples: dict[str, int] = field(default_factory=dict)
    """The number of samples (frames, steps or sequences) behind a metric, by its name or a beginning of it that several
    share: `mse` is for `mse/avg` too."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a metric is None, one line each, by its name or a beginning of it."""
    warnings: list[str] = field(default_factory=list)
    """What limits the trust in numbers, one line each: too few samples for a covariance, for example."""
    protocol: dict[str, str] = field(default_factory=dict)
    """How a metric is computed where papers differ, by its name or a beginning of it."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Native YAML types: run_name, date, configuration, checkpoint_sha256, data roots, versions."""

    def include(self, part: "Results") -> None:
        """Take over all entries of other results."""
        for section in fields(self):
            mine, others = getattr(self, section.name), getattr(part, section.name)
            mine.extend(others) if isinstance(mine, list) else mine.update(others)

    @property
    def scalars(self) -> dict[str, Value]:
        """The metrics that are neither of one position nor of one action."""
        return {name: value for name, value in self.values.items() if not _NUMBERED.match(name)}

    @property
    def per_position(self) -> dict[str, list[Value]]:
        """The averages per position from 0 on, by the name without the number; None for those that are missing."""
        return {name: values for name, values in self._numbered().items() if self._has_positions(name)}

    @property
    def per_action(self) -> dict[str, list[Value]]:
        """What is known of each action from 0 on, by the name without the number; None for what is missing."""
        return {name: values for name, values in self._numbered().items() if not self._has_positions(name)}

    def _numbered(self) -> dict[str, list[Value]]:
        found: dict[str, dict[int, Value]] = {}
        for name, value in self.values.items():
            if match := _NUMBERED.match(name):
                found.setdefault(match[1], {})[int(match[2])] = value
        return {name: [values.get(index) for index in range(max(values) + 1)] for name, values in found.items()}

    def _has_positions(self, name: str) -> bool:
        return f"{name}/avg" in self.values or name.startswith("detection/")


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

    actions_count: int  # K
    action_usage: np.ndarray  # (K,) how often each action was inferred
    movements: np.ndarray | None  # (N, D) finite, D is 1 or 2: steps with known movement
    movement_actions: np.ndarray | None  # (N,) the action inferred in each of them
    movement_unit: str  # such as "pixels"
    confusion: np.ndarray | None  # counts (K, G) by inferred and true action, None if the truth is unknown
    true_actions: list[int]  # (G,) the values of the true actions
    best: list[SequencePair]
    worst: list[SequencePair]
    demonstrations: dict[int, np.ndarray]
    """By action: uint8 (starts, T, H, W, 3), that action repeated from several starts; frame 0 is the true start."""


def entry(entries: Mapping[str, Entry], name: str) -> Entry | None:
    """What `samples`, `reasons` or `protocol` say of a metric: by its name, or by the longest beginning of it."""
    while name not in entries and "/" in name:
        name = name.rpartition("/")[0]
    return entries.get(name)


def write_results(path: Path, results: Results) -> None:
    """Write a `data.yml`, whole or not at all: metrics at top level, then the sections (docs/method.md#evaluation).

    Numbers keep nine significant digits. All types are YAML's own, and no number is NaN or infinite.

    Raises:
        OSError: it cannot be written.
    """
    sections = {section: getattr(results, section) for section in _SECTIONS}
    assert not results.values.keys() & sections.keys(), "a metric is named like a section"
    text = yaml.dump(_native(results.values | sections), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    with replacing(path) as file:
        file.write(text.encode())


def read_results(path: Path) -> Results:
    """Read a `data.yml`, as `write_results` wrote it.

    Raises:
        UserError: there is none, or the file is something else or damaged.
    """
    remedy = "name a data.yml that evaluate_dataset.py wrote"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except (yaml.YAMLError, ValueError, LookupError, RecursionError) as error:  # broken values raise any of these
        raise UserError(f"{path}: not readable as YAML: {one_line(error)}; {remedy}") from error
    try:
        file = _DataFile.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][:2])) or "the whole file"
        raise UserError(f"{path}: not the results of an evaluation ({where}: {first['msg']}); {remedy}") from error
    return Results(file.model_extra or {}, **{section: getattr(file, section) for section in _SECTIONS})


_Number = float | int | None
_NUMBERED = re.compile(r"(.+)/(\d+)$")
_SECTIONS = [section.name for section in fields(Results) if section.name != "values"]


class _DataFile(BaseModel):
    """The sections that a `data.yml` has, and metrics beside them."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, _Number | list[_Number] | list[list[_Number]]]

    intervals: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]]
    samples: dict[str, int]
    reasons: dict[str, str]
    warnings: list[str]
    protocol: dict[str, str]
    provenance: dict[str, Any]


class _Dumper(yaml.SafeDumper):
    """YAML without Python's types and without references; lists of numbers stay on one line."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def _represent_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    are_numbers = all(isinstance(value, float | int | None) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=are_numbers)


_Dumper.add_representer(list, _represent_list)


def _native(value: Any) -> Any:
    """`value` with its numbers rounded to nine significant digits. Other types than YAML's own are our mistake."""
    if isinstance(value, float):
        assert math.isfinite(value), "NaN and infinity are written as None, with a reason"
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: _native(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_native(item) for item in value]
    assert isinstance(value, str | int | None), f"{type(value)} is no type of YAML"
    return value

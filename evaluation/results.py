"""The results of an evaluation: the numbers of `data.yml`, and the evidence that the report shows beside them.

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
"""A number, None, or a nested list of these."""
Entry = TypeVar("Entry")

DISTANCE = "detection/center_distance"
"""The mean distance of detections, by position and `global` (docs/method.md#action-metrics: ADD)."""


@dataclass(frozen=True)
class Headline:
    """A headline metric: one that readers look for first."""

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
"""The headline metrics, in the order in which they are shown."""


@dataclass
class Results:
    """The numbers of an evaluation, under the published names where there are any."""

    values: dict[str, Value] = field(default_factory=dict)
    """Metrics by name; None if a metric could not be computed, for which `reasons` has the reason. Names of averages
    per position end in the position (0 is the sequence's first frame): `mse/avg`, `mse/var`, `mse/0`, `mse/1`, ...;
    names of those per action end in the action: `action_variance/frequency/0`, ..."""
    intervals: dict[str, list[float]] = field(default_factory=dict)
    """Bootstrap 95% intervals [low, high] of averages, by metric name; sequences are resampled."""
    samples: dict[str, int] = field(default_factory=dict)
    """Number of samples (frames, steps or sequences) of a metric, by its name or by a prefix that several share: `mse`
    holds for `mse/avg` too."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a metric is None, one line each, by its name or a prefix."""
    warnings: list[str] = field(default_factory=list)
    """Limits of the numbers' reliability, one line each, such as too few samples for a covariance."""
    protocol: dict[str, str] = field(default_factory=dict)
    """How a metric is computed where papers differ, by its name or a prefix."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Native YAML types: run_name, date, configuration, checkpoint_sha256, data roots, versions."""

    def include(self, part: "Results") -> None:
        """Add all entries of other results."""
        for section in fields(self):
            mine, others = getattr(self, section.name), getattr(part, section.name)
            mine.extend(others) if isinstance(mine, list) else mine.update(others)

    @property
    def scalars(self) -> dict[str, Value]:
        """The metrics that are not of a single position or action."""
        return {name: value for name, value in self.values.items() if not _NUMBERED.match(name)}

    @property
    def per_position(self) -> dict[str, list[Value]]:
        """The averages per position, from 0, by the name without the number; None for missing ones."""
        return {name: values for name, values in self._numbered().items() if self._has_positions(name)}

    @property
    def per_action(self) -> dict[str, list[Value]]:
        """The values per action, from 0, by the name without the number; None for missing ones."""
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
    """A generated sequence and the true one."""

    name: str
    """Its source: `<video>, from frame <start>`."""
    mse: float
    """Mean squared error of all frames, in [0, 1]."""
    reference: np.ndarray
    """uint8 (T, H, W, 3)."""
    generated: np.ndarray
    """uint8 (T, H, W, 3)."""


@dataclass(frozen=True)
class Evidence:
    """What the report shows beside the numbers.

    Actions are numbered from 0 here, and from 1 in the report.
    """

    actions_count: int
    """K."""
    action_usage: np.ndarray
    """(K,) how often each action was inferred."""
    movements: np.ndarray | None
    """(N, D), finite, D is 1 or 2: the known movements."""
    movement_actions: np.ndarray | None
    """(N,) the action inferred during each movement."""
    movement_unit: str
    """Unit of the movements, such as "pixels"."""
    confusion: np.ndarray | None
    """(K, G) counts by inferred and true action; None if the truth is unknown."""
    true_actions: list[int]
    """(G,) the values of the true actions."""
    best: list[SequencePair]
    worst: list[SequencePair]
    demonstrations: dict[int, np.ndarray]
    """By action: uint8 (starts, T, H, W, 3), the action repeated from several starts; frame 0 is the true start."""
    action_names: list[str] | None = None
    """What the K actions are called, if they have names."""


def entry(entries: Mapping[str, Entry], name: str) -> Entry | None:
    """Return a metric's entry in `samples`, `reasons` or `protocol`: by its name, else by its longest prefix."""
    while name not in entries and "/" in name:
        name = name.rpartition("/")[0]
    return entries.get(name)


def write_results(path: Path, results: Results) -> None:
    """Write `data.yml` atomically: metrics at the top level, then the sections (docs/method.md#evaluation).

    Numbers keep nine significant digits. All types are YAML's own, and no number is NaN or infinite.

    Raises:
        OSError: the file cannot be written.
    """
    sections = {section: getattr(results, section) for section in _SECTIONS}
    assert not results.values.keys() & sections.keys(), "a metric is named like a section"
    text = yaml.dump(_native(results.values | sections), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    with replacing(path) as file:
        file.write(text.encode())


def read_results(path: Path) -> Results:
    """Read a `data.yml` that `write_results` wrote.

    Raises:
        UserError: the file is missing, damaged or something else.
    """
    remedy = "name a data.yml that evaluate_dataset.py wrote"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except (yaml.YAMLError, ValueError, LookupError, RecursionError) as error:  # invalid values raise any of these
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
    """The sections of a `data.yml`; metrics are extra entries."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, _Number | list[_Number] | list[list[_Number]]]

    intervals: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]]
    samples: dict[str, int]
    reasons: dict[str, str]
    warnings: list[str]
    protocol: dict[str, str]
    provenance: dict[str, Any]


class _Dumper(yaml.SafeDumper):
    """Writes YAML without Python's types and without references; lists of numbers stay on one line."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def _represent_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    are_numbers = all(isinstance(value, float | int | None) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=are_numbers)


_Dumper.add_representer(list, _represent_list)


def _native(value: Any) -> Any:
    """Return a value of YAML's own types with its numbers rounded to nine significant digits."""
    if isinstance(value, float):
        assert math.isfinite(value), "NaN and infinity are written as None, with a reason"
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: _native(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_native(item) for item in value]
    assert isinstance(value, str | int | None), f"{type(value)} is no type of YAML"
    return value

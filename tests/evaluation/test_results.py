import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from evaluation.results import Results, entry, read_results, write_results
from utils.command import UserError

RESULTS = Results(
    values={
        "mse/avg": 0.01,
        "mse/0": 0.0,
        "mse/1": 0.02,
        "mse/10": 1e-8,
        "fid": None,
        "detection/reference_detections/0": 29,
        "detection/center_distance/global": 1.25,
        "action_variance/mean_vector/1": [1.5, -2],
        "action_variance/quantiles/global": [[0.0, None], [1.0, 3]],
    },
    intervals={"mse/avg": [0.009, 0.0125]},
    samples={"mse": 12},
    reasons={"fid": "no weights: off, line"},
    warnings=["yes", "Δ: 2"],
    protocol={"fvd": "224 x 224"},
    provenance={"run_name": "1e3", "configuration": {"data": {"crop": [0, 0, 16, 16]}}, "seed": None, "exact": True},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_results(tmp_path / "run/data.yml", RESULTS)
    return tmp_path / "run/data.yml"


def test_what_is_written_reads_back_equal(path: Path) -> None:
    results = read_results(path)
    assert results == RESULTS
    assert list(results.values) == list(RESULTS.values)
    assert type(results.values["detection/reference_detections/0"]) is int


def test_metrics_stand_at_top_level_under_their_names(path: Path) -> None:
    data = yaml.safe_load(path.read_text())
    assert data["mse/avg"] == 0.01
    assert data["fid"] is None
    assert list(data)[-6:] == ["intervals", "samples", "reasons", "warnings", "protocol", "provenance"]


def test_the_file_reads_well(tmp_path: Path) -> None:
    shared = [0, 1]
    results = Results({"psnr/avg": 1 / 3, "mse/avg": 1e-30}, provenance={"one": shared, "two": shared, "name": "Größe"})
    write_results(tmp_path / "data.yml", results)
    lines = (tmp_path / "data.yml").read_text().splitlines()
    assert lines[:2] == ["psnr/avg: 0.333333333", "mse/avg: 1.0e-30"]
    assert lines[-3:] == ["  one: [0, 1]", "  two: [0, 1]", "  name: Größe"]


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, [0.0, -math.inf], [[math.nan]], np.float32(1), np.int64(1), np.ones(2), (1, 2)]
)
def test_neither_unknown_numbers_nor_foreign_types_are_written(path: Path, value: object) -> None:
    before = path.read_bytes()
    with pytest.raises(AssertionError):
        write_results(path, replace(RESULTS, values={"fid": value}))  # type: ignore[dict-item]
    assert path.read_bytes() == before


def test_a_metric_is_not_named_like_a_section(path: Path) -> None:
    with pytest.raises(AssertionError, match="section"):
        write_results(path, Results({"samples": 1.0}))


def test_only_own_types_are_in_the_file(path: Path) -> None:
    write_results(path, Results({"fid": np.float64(2.5)}))
    assert "!" not in path.read_text()
    assert type(read_results(path).values["fid"]) is float


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1",
        "mse/avg: 0.1",
        "mse/avg: [",
        "\0",
        "mse/avg: !!python/object/apply:os.getcwd []",
        "date: 2024-13-45",
        "{intervals: {}, samples: {}, reasons: {}, warnings: [], protocol: {}}",
        "{intervals: {}, samples: {}, reasons: {}, warnings: [], protocol: {}, provenance: {}, fid: .nan}",
        "{intervals: {}, samples: {}, reasons: {}, warnings: [], protocol: {}, provenance: {}, fid: high}",
        "{intervals: {}, samples: {}, reasons: {}, warnings: [], protocol: {}, provenance: {}, fid: true}",
        "{intervals: {fid: [1]}, samples: {}, reasons: {}, warnings: [], protocol: {}, provenance: {}, fid: 1}",
        "{intervals: {fid: [1, .inf]}, samples: {}, reasons: {}, warnings: [], protocol: {}, provenance: {}, fid: 1}",
        "{intervals: {}, samples: 3, reasons: {}, warnings: [], protocol: {}, provenance: {}, fid: 1}",
        "{intervals: {}, samples: {}, reasons: {}, warnings: [1], protocol: {}, provenance: {}, fid: 1}",
    ],
)
def test_damaged_and_foreign_files_are_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(str(path))) as error:
        read_results(path)
    assert "evaluate_dataset.py" in str(error.value)


def test_a_file_of_an_evaluation_without_metrics_reads(path: Path) -> None:
    write_results(path, Results())
    assert read_results(path) == Results()


@pytest.mark.parametrize("name", ["missing.yml", "."])
def test_files_that_cannot_be_read_are_refused(path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_results(path.parent / name)


def test_binary_files_are_refused(path: Path) -> None:
    path.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(UserError, match="not readable as YAML"):
        read_results(path)


def test_positions_actions_and_single_numbers_are_told_apart() -> None:
    assert RESULTS.per_position == {
        "mse": [0.0, 0.02, *[None] * 8, 1e-8],
        "detection/reference_detections": [29],
    }
    assert RESULTS.per_action == {"action_variance/mean_vector": [None, [1.5, -2]]}
    assert list(RESULTS.scalars) == [
        "mse/avg",
        "fid",
        "detection/center_distance/global",
        "action_variance/quantiles/global",
    ]


def test_entries_are_found_by_the_longest_beginning() -> None:
    entries = {"linear": 1, "linear/action_accuracy": 2, "fid": 3}
    names = ("linear/action_accuracy/0", "linear/other", "linear", "fid", "linear_ovo/action_accuracy", "line")
    assert [entry(entries, name) for name in names] == [2, 1, 1, 3, None, None]

"""The benchmark of evaluations measures what it says, on a few tiny sequences."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import evaluate
from tests.generated import evaluation_values
from utils.command import UserError


def measured(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> dict[str, object]:
    (folder / "evaluation.yaml").write_text(yaml.safe_dump(evaluation_values(folder)), encoding="utf-8")
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    common = ["--config", str(folder / "evaluation.yaml"), "--device", "cpu", "--json", str(folder / "report.json")]
    monkeypatch.setattr(sys, "argv", [evaluate.__file__, *common, *options])
    evaluate.main()
    report = json.loads((folder / "report.json").read_text())
    assert report["benchmark"] == "evaluate"
    results: dict[str, object] = report["results"]
    return results


def test_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    results = measured(tmp_path, monkeypatch, "--few", "2", "--many", "12")
    assert results["frame_size"] == [32, 32]
    peaks = results["peak_megabytes"]
    assert isinstance(peaks, dict)
    assert peaks.keys() == {"2", "12"}
    assert all(100 < megabytes < 5000 for megabytes in peaks.values())
    computed = results["computed"]
    assert isinstance(computed, list)
    assert {"PSNR, dB", "SSIM", "Δ-Acc", "Accuracy of actions"} <= set(computed)
    assert "LPIPS" not in computed
    assert "12 sequences" in capsys.readouterr().out


def test_fewer_have_to_be_less_than_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--few 3 --many 3: the second has to be more"):
        measured(tmp_path, monkeypatch, "--few", "3", "--many", "3")


def test_an_evaluation_that_fails_ends_the_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "REPOSITORY", tmp_path)
    with pytest.raises(UserError, match="the evaluation failed"):
        measured(tmp_path, monkeypatch, "--few", "1", "--many", "2")

"""The benchmark of the conversion compares like with like, on a tiny clip."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import conversion


def test_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "NUM_REPEATS", 1)
    monkeypatch.setattr(conversion, "CLIP_SIZE", "64x48")
    options = ["--videos", "1", "--seconds", "1", "--processes", "1", "--json", str(tmp_path / "report.json")]
    monkeypatch.setattr(sys, "argv", [conversion.__file__, *options])
    conversion.main()
    results = json.loads((tmp_path / "report.json").read_text())["results"]
    assert results["frames"] == 25
    assert results["largest_difference"] == 0
    assert results["bytes_per_frame"]["ours"] == pytest.approx(results["bytes_per_frame"]["bare"], rel=0.1)
    speeds = results["frames_per_second"]
    assert speeds["bare ffmpeg"] / speeds["ours"] == pytest.approx(results["times_slower"], rel=0.01)

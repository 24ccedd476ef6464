"""`python -m evaluation.playability` of footage other than Breakout; of that see `breakout/test_playability.py`."""

import json
from pathlib import Path

import pytest
import torch

from evaluation.play.figures import TITLES
from model.caddy import Caddy
from tests.processes import run_python, succeed
from tests.synthetic import square_configuration, write_square_videos
from utils.checkpoint import LATEST, save_checkpoint


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Measures a model that learned nothing."""
    write_square_videos(tmp_path / "data")
    config = square_configuration(tmp_path)
    torch.manual_seed(0)
    save_checkpoint(config.logging.save_directory / LATEST, {"model": Caddy(config).state_dict()})
    options = ["--device", "cpu", "--games", "2", "--frames", "4", "--json", str(tmp_path / "report.json")]
    return ["-m", "evaluation.playability", "--config", str(tmp_path / "square.yaml"), *options]


def test_any_footage_is_measured(command: list[str], tmp_path: Path) -> None:
    animation = tmp_path / "play.gif"
    told = succeed(*command, "--animation", animation)
    *_, report, written = told.splitlines()
    assert report == f"report written to {tmp_path / 'results/square/playability.html'}"
    assert written == f"written to {tmp_path / 'report.json'}"
    assert "Breakout" not in told
    assert "\nstillness: difference, of 255 " in told
    assert animation.exists()
    assert "Playability of square" in (tmp_path / "results/square/playability.html").read_text()

    results = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)["results"]
    assert results.keys() == {"run_name", "checkpoint_sha256", "seed", "any_footage"}
    found = results["any_footage"]
    assert found["figures"].keys() == TITLES.keys()
    assert found["figures"]["following"]["generated"].keys() == {"value", "interval", "samples"}
    assert (found["games"], found["frames"], len(found["actions"])) == (2, 4, 3)


def test_a_report_that_cannot_be_written_is_refused_at_once(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run_python(*command, "--report", f"{tmp_path}/file/a.html")
    assert done.returncode == 2
    assert f"--report: {tmp_path}/file: cannot be written" in done.stderr


@pytest.mark.parametrize("option", ["--report", "--animation", "--json"])
def test_a_folder_in_place_of_a_file_is_refused_at_once(command: list[str], tmp_path: Path, option: str) -> None:
    done = run_python(*command, option, tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: argument {option}: {tmp_path}: is a folder; name a file in it; see --help\n"

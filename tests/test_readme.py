"""Every command of README and of docs/ is right: recording, training and playing run, on less data, for fewer steps.

What `make` does is tried by `test_packaging.py` and `test_demo.py`, what is measured by `benchmarks/`, `evaluation/`.
"""

import itertools
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import export
from evaluation.configuration import load_evaluation_configuration
from evaluation.report import format_interval, format_value
from evaluation.results import read_results
from model.build import build_model
from playing.simulator import digest
from playing.starting_frames import STARTING_FRAMES
from tests.dataset.acquisition.clips import encode, numbered
from tests.processes import PythonProcess, succeed
from tests.runtimes import write_small_runtime
from tests.synthetic import write_square_videos
from utils.checkpoint import LATEST, save_checkpoint
from utils.command import EXIT_DONE, EXIT_TERMINATED
from utils.configuration import load_configuration

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [README, *(path.read_text(encoding="utf-8") for path in sorted(REPOSITORY.glob("docs/*.md")))]

SMALLER = {
    "dataset.acquisition.record_atari": {
        "--train_videos": "3",
        "--val_videos": "1",
        "--test_videos": "1",
        "--video_length": "34",
    },
}
"""What replaces the values of options, to take seconds."""

QUICK_TRAINING = (
    "training.loss_weights.perceptual_loss_lambda=0",
    "training.loss_weights.perceptual_loss_lambda_pretraining=0",
    "logging.trackers=[]",
    "training.max_steps=1",
    "training.batching.batch_size=1",
    "training.batching.num_workers=0",
    "evaluation.max_evaluation_batches=1",
    "evaluation.batching.batch_size=1",
    "evaluation.batching.num_workers=0",
)


def blocks(language: str, *documents: str) -> list[str]:
    """The blocks of code in a language, in documents one after the other."""
    return [block for text in documents for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def commands(*documents: str) -> list[str]:
    """The lines of the shell blocks of some documents, continued lines joined, comments left out, each command once."""
    lines = "".join(blocks("bash", *documents)).replace("\\\n", " ").splitlines()
    return list(dict.fromkeys(" ".join(line.partition("#")[0].split()) for line in lines))


COMMANDS = commands(*DOCUMENTS)


def shortened(command: str, folder: Path) -> list[str]:
    """The arguments of a `python` command, on less data, reading and writing in a folder."""
    arguments = shlex.split(command)
    ranks: tuple[str, ...] = ()
    if arguments[0] == "torchrun":
        ranks = ("training.batching.batch_size=2", "logging.run_name=ranks")
        arguments = ["python", "-m", "torch.distributed.run", *arguments[1:]]
    module = "train.py" if "train.py" in arguments else arguments[2] if arguments[1] == "-m" else arguments[1]
    for option, value in SMALLER.get(module, {}).items():
        first = arguments.index(option) + 1
        last = next((n for n in range(first, len(arguments)) if arguments[n].startswith("--")), len(arguments))
        arguments[first:last] = [value]
    arguments = [argument.replace("data/", f"{folder}/data/") for argument in arguments]
    overrides: tuple[str, ...] = ()
    if module == "train.py":
        overrides = (
            *QUICK_TRAINING,
            f"data.data_root={folder}/data/breakout_v2_160_ours",
            f"logging.output_root={folder}/results",
            f"logging.save_root={folder}/checkpoints",
            *ranks,
        )
    return [*arguments[1:], *(part for override in overrides for part in ("--set", override))]


def test_no_command_goes_untried() -> None:
    kinds = (
        "make ",
        "python -m dataset.",
        "python train.py ",
        "torchrun ",
        "python play.py ",
        "python interpolate.py ",
        "python export.py ",
        "python build_evaluation_dataset.py ",
        "python evaluate_dataset.py ",
        "python -m evaluation.",
        "python -m playing.watch ",
        "python -m training.release ",
        "python -m benchmarks.",
        "pip install ",
        "playable-video ",
    )
    (installation,) = (command for command in COMMANDS if not command.startswith(kinds))
    python, activation, pip = installation.split(" && ")
    assert python == "python3 -m venv .venv"
    assert activation == ". .venv/bin/activate"
    assert f".venv/bin/python -m {pip} " in (REPOSITORY / "Makefile").read_text().replace(
        "--disable-pip-version-check ", ""
    ).replace("\n", " ")


def test_installations_name_this_folder_and_extras_that_exist() -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    installations = [shlex.split(command)[2:] for command in COMMANDS if command.startswith("pip install ")]
    assert ["."] in installations
    for what, *options in installations:
        named = re.fullmatch(r"\.(?:\[([\w,]+)\])?", what)
        assert named is not None
        assert set((named[1] or "").split(",")) - {""} <= extras.keys()
        assert options in ([], ["--extra-index-url", "https://download.pytorch.org/whl/cpu"])


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("playable-video ")])
def test_the_installed_command_is_called_as_it_asks_to_be(command: str) -> None:
    _, *arguments = shlex.split(command)
    name = arguments[:2] if arguments[0] == "share" else [word for word in arguments[:1] if not word.startswith("-")]
    told = succeed("-c", "from playable_video.console import main; main()", *name, "--help")
    assert {argument for argument in arguments if argument.startswith("--")} <= set(re.findall(r"--\w+", told))
    if "--config" in arguments:
        load_configuration(arguments[arguments.index("--config") + 1])


def test_readme_has_the_two_commands() -> None:
    assert {"make demo", "make test"} <= set(commands(README))


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_make_knows_its_targets(command: str) -> None:
    subprocess.run([*shlex.split(command), "--dry-run"], cwd=REPOSITORY, capture_output=True, check=True)


def test_recording_and_training_run_one_after_the_other(tmp_path: Path) -> None:
    for command in COMMANDS:
        if "record_atari" in command or "train.py" in command:
            succeed(*shortened(command, tmp_path))
    assert list(tmp_path.glob("checkpoints/*/latest.pth.tar"))
    assert list(tmp_path.glob("results/*/images/*.png"))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with checkpoints of models before training, and no data."""
    folder = tmp_path_factory.mktemp("untrained")
    for name in ("00_breakout_demo", "00_breakout_play", "02_breakout"):
        config = load_configuration(REPOSITORY / f"configs/{name}.yaml")
        model = build_model(config)
        contents = {
            "model": model.state_dict(),
            "config": config.model_dump(mode="json"),
            STARTING_FRAMES: torch.zeros(1, *model.stack_shape, dtype=torch.uint8),
        }
        save_checkpoint(folder / "checkpoints" / name / LATEST, contents)
    return folder


@pytest.mark.parametrize("command", [command for command in COMMANDS if re.search("(play|interpolate).py", command)])
def test_playing(command: str, untrained: Path, tmp_path: Path) -> None:
    overrides = (f"data.data_root={untrained}/data", f"logging.save_root={untrained}/checkpoints")
    arguments = [*shlex.split(command)[1:], "--play_root", str(untrained / "plays")]
    arguments += [part for override in overrides for part in ("--set", override)]
    if "--headless" in arguments or "interpolate.py" in arguments:
        succeed(*arguments)
        return
    process = PythonProcess(tmp_path, *arguments, environment={"SDL_VIDEODRIVER": "dummy"})
    process.wait_until(lambda: process.has_printed("starting from the checkpoint\n"))
    process.send(signal.SIGTERM)
    assert process.wait(seconds=60) == EXIT_TERMINATED
    assert process.stdout.startswith("starting from the checkpoint\n")


@pytest.mark.parametrize("command", [command for command in COMMANDS if " export.py " in command])
def test_exporting(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_small_runtime(tmp_path / "ort", monkeypatch)
    served: list[Path] = []
    monkeypatch.setattr("export.serve", lambda folder, _: served.append(folder))
    monkeypatch.chdir(REPOSITORY)
    arguments = shlex.split(command)[1:]
    page = tmp_path / "page"
    arguments[arguments.index("--output_directory") + 1] = str(page)
    monkeypatch.setattr(sys, "argv", [*arguments, "--runtime_directory", str(tmp_path / "ort")])
    assert export.main() == EXIT_DONE
    assert "starts from" in capsys.readouterr().out
    assert (page / "index.html").exists()
    assert served == ([page] if "--serve" in arguments else [])


def test_releasing(untrained: Path, tmp_path: Path) -> None:
    (command,) = (command for command in COMMANDS if "training.release" in command)
    arguments = shlex.split(command)
    arguments[arguments.index("--output") + 1] = str(tmp_path / "released.pth.tar")
    arguments += ["--set", "logging.run_name=00_breakout_play", "--set", f"logging.save_root={untrained}/checkpoints"]
    succeed(*arguments[1:])
    assert (tmp_path / "released.pth.tar").exists()


def test_own_videos_become_data_sets(tmp_path: Path) -> None:
    for number in range(5):
        clip = np.random.default_rng(number).integers(0, 256, (40, 48, 64, 3), np.uint8)
        clip[:, 8:24, 8:24] = numbered(40, 16, 16)
        (tmp_path / "videos").mkdir(exist_ok=True)
        encode(tmp_path / "videos" / f"{number}.mp4", clip)
    write_square_videos(tmp_path / "data/breakout_demo")
    for command in COMMANDS:
        arguments = shlex.split(command)
        if arguments[2:3] and arguments[2].startswith("dataset.") and "record_atari" not in command:
            succeed(*arguments[1:], cwd=tmp_path, environment={"PYTHONPATH": str(REPOSITORY)})
    assert load_configuration(tmp_path / "configs/my_game.yaml").data.actions_count == 3
    assert load_evaluation_configuration(tmp_path / "configs/evaluation/my_game.yaml").data.actions_count == 3
    assert len(list(tmp_path.glob("data/my_videos/*/*"))) == 5
    assert (tmp_path / "contact_sheet.png").exists()
    assert list(tmp_path.glob("data/breakout_lerobot/videos/**/*.mp4"))


def test_evaluating_runs_one_after_the_other(untrained: Path, tmp_path: Path) -> None:
    options = ["--game", "breakout", "--crop", "0", "16", "160", "208", "--target_size", "80", "96"]
    options += ["--train_videos", "0", "--val_videos", "0", "--test_videos", "2", "--video_length", "20"]
    succeed("-m", "dataset.acquisition.record_atari", *options, "--output_directory", f"{tmp_path}/data")
    overrides: dict[str, dict[str, object]] = {
        "build_evaluation_dataset.py": {
            "data.data_root": tmp_path / "data",
            "logging.save_root": untrained / "checkpoints",
            "logging.output_root": tmp_path / "results",
            "evaluation_dataset.max_sequences": 3,
        },
        "evaluate_dataset.py": {
            "reference_data.data_root": tmp_path / "data",
            "generated_data.data_root": tmp_path / "results/00_breakout_demo/evaluation_dataset",
            "logging.output_root": tmp_path / "evaluation_results",
        },
    }
    for command in COMMANDS:
        program, *arguments = shlex.split(command)[1:] or [""]
        if program in overrides:
            arguments += [f"--set={key}={value}" for key, value in overrides[program].items()]
        elif arguments[:1] == ["evaluation.compare"]:
            folder = tmp_path / "evaluation_results"
            shutil.copytree(folder / "00_breakout_demo", folder / "00_breakout_play")
            arguments = [argument.replace("evaluation_results/", f"{folder}/") for argument in arguments]
            arguments += ["--output", str(tmp_path / "comparison")]
        else:
            continue
        succeed(program, *arguments)
    assert list(tmp_path.glob("evaluation_results/00_breakout_demo/report.html"))
    assert list(tmp_path.glob("comparison/*.png"))


def test_the_environment(untrained: Path) -> None:
    (script,) = (block for block in blocks("python", *DOCUMENTS) if "import gymnasium" in block)
    script = script.replace("checkpoints/", f"{untrained}/checkpoints/")
    script += "game.reset(seed=0)\ngame.step(1)\ngames.reset(seed=0)\ngames.step([0] * 8)\n"
    succeed("-c", script, environment={"SDL_VIDEODRIVER": "dummy"})


def test_playing_from_python() -> None:
    (script,) = (block for block in blocks("python", *DOCUMENTS) if "import load" in block)
    assert succeed("-c", script) == "3 ('left', 'stay', 'right')\n"


@pytest.mark.parametrize(
    "command",
    [command for command in COMMANDS if re.search(r"-m (benchmarks\.|evaluation.playability|playing.watch)", command)],
)
def test_measurements_are_called_as_they_ask_to_be(command: str) -> None:
    arguments = shlex.split(command)
    told = succeed(*arguments[1:3], "--help")
    options = {argument for argument in arguments if argument.startswith("--")}
    assert options <= set(re.findall(r"--\w+", told))
    overrides = [value for option, value in itertools.pairwise(arguments) if option == "--set"]
    if "--config" in options:
        load = load_evaluation_configuration if "benchmarks.evaluate" in command else load_configuration
        load(REPOSITORY / arguments[arguments.index("--config") + 1], overrides)


def test_figures_are_those_of_the_committed_results() -> None:
    rows = []
    for name in ("00_breakout_play", "01_bair", "02_breakout", "03_tennis"):
        measured = [committed(f"play.{name}", machine) for machine in ("*cpu", "*cpu-avx2")]
        figures = [f"{results['speedup']:.2f} | {results['ours']['share_of_limit']:.0%}" for results in measured]
        rows.append(f"| `{name}` | {' | '.join(figures)} |")
    assert any("\n".join(rows) in document for document in DOCUMENTS)

    rows = []
    for name in ("00_breakout_demo", "02_breakout"):
        measured = [committed(f"train_step.{name}", machine)["speedup"] for machine in ("*cpu", "*cpu-avx2")]
        rows.append(f"| `{name}` | {' | '.join(f'{speedup:.2f}' for speedup in measured)} |")
    assert any("\n".join(rows) in document for document in DOCUMENTS)

    results = committed("playability.00_breakout_play")
    assert any("\n".join(playability_rows(results)) in document for document in DOCUMENTS)
    checkpoint = REPOSITORY / "checkpoints" / results["run_name"] / LATEST
    assert digest(checkpoint) == results["checkpoint_sha256"]


def test_the_demo_s_figures_are_those_of_the_committed_results() -> None:
    results = committed("demo.00_breakout_demo")
    rows = [
        f"| {title} | {results['median'][name]:{form}} | {results['worst'][name]:{form}} |"
        for name, (title, form) in DEMO.items()
    ]
    assert any("\n".join(rows) in document for document in DOCUMENTS)
    seeds = [name.removeprefix("seed ") for name in results if name.startswith("seed ")]
    told = f"over seeds {', '.join(seeds[:-1])} and {seeds[-1]}, measured"
    assert any(told in document for document in DOCUMENTS)


DEMO = {
    "action_accuracy": ("actions that are the true ones, on held-out play", ".3f"),
    "share_of_bound": ("the same, of what the true movement of the paddle tells", ".3f"),
    "l1": ("mean absolute difference of pixels in [-1, 1]", ".4f"),
    "obeyed": ("presses that the paddle obeys", ".2f"),
    "paddle_found": ("generated frames that show the paddle", ".2f"),
    "ball_one_step_ahead": ("balls drawn where they are, one step ahead of true frames", ".2f"),
    "ball_own_frame_10": ("... in the tenth own frame", ".2f"),
}
"""What the documents say of trainings of the demo, by the names in the results."""


def test_the_published_model_s_figures_are_those_of_the_committed_results() -> None:
    results = [committed("demo.published_demo")["seed 0"], committed("demo.00_breakout_demo")["median"]]
    names = ("action_accuracy", "l1", "obeyed", "paddle_found", "ball_one_step_ahead")
    rows = []
    for title, name, form in ((DEMO[name][0], name, DEMO[name][1]) for name in names):
        rows.append(f"| {title} | {' | '.join(format(found[name], form) for found in results)} |")
    assert any("\n".join(rows) in document for document in DOCUMENTS)


def test_the_evaluation_is_the_committed_one() -> None:
    results = read_results(REPOSITORY / "benchmarks/results/evaluation.00_breakout_play.yml")
    rows = [
        f"| {title} | {format_value(results.values[name])} | {format_interval(results, name)} |"
        for title, name in EVALUATED.items()
    ]
    assert any("\n".join(rows) in document for document in DOCUMENTS)
    assert results.provenance["checkpoint_sha256"] == digest(REPOSITORY / "checkpoints/00_breakout_play" / LATEST)


EVALUATED = {
    "PSNR of generated frames, dB": "psnr/avg_generated",
    "SSIM of generated frames": "ssim/avg_generated",
    "distance of the paddle from where it should be, pixels (ADD)": "detection/center_distance/global",
    "frames in which it is missed (MDR)": "detection/missed_detection_rate/global",
    "movement that the action does not explain (Δ-MSE)": "action_variance/delta_mse",
    "actions told from the movement (Δ-Acc)": "linear/action_accuracy",
    "the same, cross-validated": "linear/cross_validated_action_accuracy",
    "actions that are the true ones": "actions/hungarian_accuracy",
}
"""What the documents say of the evaluation, and the names of the metrics."""


def committed(name: str, machine: str = "*") -> dict[str, Any]:
    """The results of a measurement that the documents tell of, by its name and perhaps a pattern of the machine's."""
    (file,) = (REPOSITORY / "benchmarks/results").glob(f"{name}.{machine}.json")
    results: dict[str, Any] = json.loads(file.read_text())["results"]
    return results


def playability_rows(results: dict[str, Any]) -> list[str]:
    """The table of what is measured of generated games and of true ones."""

    def row(title: str, name: str, form: str = ".3f") -> str:
        values = (results[side][name]["value"] for side in ("generated", "true"))
        return f"| {title} | " + " | ".join(format(value, form) for value in values) + " |"

    return [
        row("steps at which the paddle obeys", "pressed_way"),
        row("presses away from a wall that it obeys", "leaves_wall"),
        row("frames that show the paddle", "paddle_found"),
        row("brick pixels whole, or gone for good", "bricks_intact"),
        row("difference of wall pixels, of 255", "walls_difference", ".1f"),
        row("frames until the ball is lost from sight", "ball_frames", ".0f"),
    ]

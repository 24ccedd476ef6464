"""Every command of README is right: recording, training and playing run, on less data and for fewer steps.

What `make` does is tried by `test_packaging.py` and `test_demo.py`, what is measured by `benchmarks/`, `evaluation/`.
"""

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dataset.starting_frames import STARTING_FRAMES
from model.caddy import Caddy
from utils.checkpoint import LATEST, save_checkpoint
from utils.command import EXIT_TERMINATED
from utils.configuration import load_configuration

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text()

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
    "logging.wandb=false",
    "training.max_steps=1",
    "training.batching.batch_size=1",
    "training.batching.num_workers=0",
    "evaluation.max_evaluation_batches=1",
    "evaluation.batching.batch_size=1",
    "evaluation.batching.num_workers=0",
)


def commands() -> list[str]:
    """The lines of README's shell blocks, continued lines joined, comments left out."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(line.partition("#")[0].split()) for line in lines]


def shortened(command: str, folder: Path) -> list[str]:
    """The arguments of a `python` command, on less data, reading and writing in a folder."""
    arguments = shlex.split(command)
    module = arguments[2] if arguments[1] == "-m" else arguments[1]
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
        )
    return [sys.executable, *arguments[1:], *(part for override in overrides for part in ("--set", override))]


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)


def test_no_command_goes_untried() -> None:
    kinds = (
        "make ",
        "python -m dataset.acquisition.record_atari ",
        "python train.py ",
        "python play.py ",
        "python interpolate.py ",
        "python -m evaluation.playability ",
        "python -m benchmarks.",
    )
    (installation,) = (command for command in commands() if not command.startswith(kinds))
    python, activation, pip = installation.split(" && ")
    assert python == "python3 -m venv .venv"
    assert activation == ". .venv/bin/activate"
    assert f".venv/bin/python -m {pip} " in (REPOSITORY / "Makefile").read_text().replace(
        "--disable-pip-version-check ", ""
    ).replace("\n", " ")


def test_readme_has_the_two_commands() -> None:
    assert {"make demo", "make test"} <= set(commands())


@pytest.mark.parametrize("command", [command for command in commands() if command.startswith("make ")])
def test_make_knows_its_targets(command: str) -> None:
    done = run([*shlex.split(command), "--dry-run"])
    assert done.returncode == 0, done.stderr


def test_recording_and_training_run_one_after_the_other(tmp_path: Path) -> None:
    for command in commands():
        if "record_atari" in command or "train.py" in command:
            done = run(shortened(command, tmp_path))
            assert done.returncode == 0, f"{command}: {done.stderr}"
    assert list(tmp_path.glob("checkpoints/*/latest.pth.tar"))
    assert list(tmp_path.glob("results/*/images/*.png"))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of the demo's model before training, and no data."""
    folder = tmp_path_factory.mktemp("untrained")
    config = load_configuration(REPOSITORY / "configs/00_breakout_demo.yaml")
    height, width = config.model.representation_network.target_input_size[::-1]
    contents = {
        "model": Caddy(config).state_dict(),
        "config": config.model_dump(mode="json"),
        STARTING_FRAMES: torch.zeros(1, 1, height, width, 3, dtype=torch.uint8),
    }
    save_checkpoint(folder / "checkpoints/00_breakout_demo" / LATEST, contents)
    return folder


@pytest.mark.parametrize("command", [command for command in commands() if re.search("(play|interpolate).py", command)])
def test_playing(command: str, untrained: Path) -> None:
    overrides = (f"data.data_root={untrained}/data", f"logging.save_root={untrained}/checkpoints")
    arguments = [sys.executable, *shlex.split(command)[1:], "--play_root", str(untrained / "plays")]
    arguments += [part for override in overrides for part in ("--set", override)]
    if "--headless" in arguments or "interpolate.py" in arguments:
        done = run(arguments)
        assert done.returncode == 0, done.stderr
        return
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(arguments, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "starting from the checkpoint\n"
        process.terminate()
        assert process.wait(timeout=60) == EXIT_TERMINATED


def test_the_environment(untrained: Path) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    script = script.replace("checkpoints/", f"{untrained}/checkpoints/")
    script += "game.reset(seed=0)\ngame.step(1)\ngames.reset(seed=0)\ngames.step([0] * 8)\n"
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command", [command for command in commands() if re.search(r"-m (benchmarks\.|evaluation)", command)]
)
def test_measurements_are_called_as_they_ask_to_be(command: str) -> None:
    arguments = shlex.split(command)
    done = run([sys.executable, *arguments[1:3], "--help"])
    assert done.returncode == 0, done.stderr
    options = {argument for argument in arguments if argument.startswith("--")}
    assert options <= set(re.findall(r"--\w+", done.stdout))
    overrides = [value for option, value in itertools.pairwise(arguments) if option == "--set"]
    load_configuration(REPOSITORY / arguments[arguments.index("--config") + 1], overrides)


def test_figures_are_those_of_the_committed_results() -> None:
    file = REPOSITORY / "benchmarks/results/demo.00_breakout_demo.amd-epyc-cpu.json"
    runs = json.loads(file.read_text())["results"]
    rows = [
        f"| {seed.removeprefix('seed ')} | {run['minutes']:.1f} min | {run['action_accuracy']:.2f} | {run['l1']:.3f} |"
        for seed, run in runs.items()
    ]
    assert "\n".join(rows) in README

    rows = []
    for path in sorted((REPOSITORY / "configs").glob("*.yaml")):
        file = REPOSITORY / f"benchmarks/results/play.{path.stem}.amd-epyc-cpu.json"
        results = json.loads(file.read_text())["results"]
        ours, plain = (results[name]["frames_per_second"] for name in ("ours", "plain"))
        rows.append(f"| `{path.stem}` | {ours:.0f} | {plain:.0f} | {results['ours']['share_of_limit']:.0%} |")
    assert "\n".join(rows) in README


def test_files_that_readme_names_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (REPOSITORY / target).exists(), target

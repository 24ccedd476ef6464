"""Every command of README runs, on less data and for fewer steps."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("command", [command for command in commands() if "benchmarks." in command])
def test_benchmarks_are_called_as_they_ask_to_be(command: str) -> None:
    arguments = shlex.split(command)
    done = run([sys.executable, *arguments[1:3], "--help"])
    assert done.returncode == 0, done.stderr
    options = {argument for argument in arguments if argument.startswith("--")}
    assert options <= set(re.findall(r"--\w+", done.stdout))
    assert (REPOSITORY / arguments[arguments.index("--config") + 1]).is_file()


def test_files_that_readme_names_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (REPOSITORY / target).exists(), target

"""A short run of the demo on real play: the loss falls, and the actions are found before anything collapses."""

import json
import re
from pathlib import Path

from tests.processes import succeed

REPOSITORY = Path(__file__).parent.parent
CONFIG = "configs/00_breakout_demo.yaml"
NUM_STEPS = 150


def test_the_demo_finds_the_actions(tmp_path: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text().replace("\\\n", "")
    recording = re.search(r"^DEMO_RECORDING := (.*)$", makefile, re.MULTILINE)
    assert recording
    options = recording[1].split()
    for option, number in (("--train_videos", 24), ("--val_videos", 6), ("--test_videos", 1)):
        options[options.index(option) + 1] = str(number)
    succeed("-m", "dataset.acquisition.record_atari", *options, "--output_directory", str(tmp_path / "data"))

    overrides = {
        "data.data_root": tmp_path / "data",
        "logging.output_root": tmp_path / "results",
        "logging.save_root": tmp_path / "checkpoints",
        "training.max_steps": NUM_STEPS,
        "evaluation.max_evaluation_batches": 4,
    }
    arguments = [f"--set={key}={value}" for key, value in overrides.items()]
    succeed("train.py", "--config", CONFIG, *arguments, seconds=1200)

    (metrics,) = tmp_path.glob("results/*/metrics.jsonl")
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    differences = [line["train/cross_entropy"] for line in lines if "train/cross_entropy" in line]
    assert differences[-1] < 0.5 * differences[0]
    found = next(line for line in lines if "eval/action_accuracy" in line)
    assert found["eval/actions_used"] == 3
    assert found["eval/action_accuracy"] > 0.6 * found["eval/movement_accuracy"]
    assert found["eval/movement_accuracy"] > 0.95
    assert found["eval/reconstruction"] < 0.1
    assert found["eval/ball_drawn_one_step"] > 0.3
    assert found["eval/action_effect"] > 0.1

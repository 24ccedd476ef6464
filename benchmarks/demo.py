"""What the demo learns: held-out action accuracy and reconstruction for several seeds, and how long each took.

python -m benchmarks.demo --config configs/00_breakout_demo.yaml --seeds 0 1 2
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import measurement_parser, write_report
from utils.command import UserError, run_command
from utils.configuration import load_configuration
from utils.device import select_device


def main() -> None:
    """Train once a seed, in folders of its own, and write what the last evaluation of each found."""
    parser = measurement_parser(
        "Train with several seeds and report what the last evaluation of each finds.",
        "python -m benchmarks.demo --config configs/00_breakout_demo.yaml --seeds 0 1 2",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run each (default 0 1 2)")
    arguments = parser.parse_args()
    device = select_device(arguments.device)
    results = {}
    for seed in arguments.seeds:
        results[f"seed {seed}"] = found = train(arguments.config, arguments.overrides, seed, device)
        print(f"seed {seed}: " + ", ".join(f"{name} {value}" for name, value in found.items()), flush=True)
        path = write_report("demo", arguments.config, results, device, arguments.json)
    print(f"written to {path}")


def train(config_file: str, overrides: list[str], seed: int, device: torch.device) -> dict[str, Any]:
    """Train with a seed and return the figures of the last evaluation. `UserError` if training fails."""
    run_name = f"{load_configuration(config_file, overrides).logging.run_name}_seed_{seed}"
    overrides = [*overrides, f"training.seed={seed}", f"logging.run_name={run_name}"]
    config = load_configuration(config_file, overrides)
    if not config.data.ground_truth_available:
        raise UserError(f"{config_file}: action accuracy needs true actions, but data.ground_truth_available is false")
    for folder in (config.logging.output_directory, config.logging.save_directory):
        if folder.exists():
            raise UserError(f"{folder}: exists already; move it away, so that the run is timed whole")
    command = [sys.executable, "train.py", "--config", config_file, "--device", device.type]
    start = time.perf_counter()
    done = subprocess.run([*command, *(part for override in overrides for part in ("--set", override))], check=False)
    if done.returncode:
        raise UserError(f"training with seed {seed} ended with exit code {done.returncode}; its own message says why")
    minutes = (time.perf_counter() - start) / 60
    return {
        "minutes": round(minutes, 2),
        "steps": config.training.max_steps,
        **_last_evaluation(config.logging.output_directory),
    }


def _last_evaluation(directory: Path) -> dict[str, float]:
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    scalars = next(line for line in map(json.loads, reversed(lines)) if "eval/action_accuracy" in line)
    accuracy, bound = scalars["eval/action_accuracy"], scalars["eval/movement_accuracy"]
    return {
        "action_accuracy": round(accuracy, 4),
        "bound_from_true_movement": round(bound, 4),
        "share_of_bound": round(accuracy / bound, 4),
        "most_frequent_action": round(scalars["eval/most_frequent_action"], 4),
        "l1": round(scalars["eval/reconstruction"], 5),
    }


if __name__ == "__main__":
    run_command(main)

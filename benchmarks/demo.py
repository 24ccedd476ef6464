"""What the demo learns: held-out action accuracy and reconstruction for several seeds, and how long each took.

python -m benchmarks.demo --config configs/00_breakout_demo.yaml --seeds 0 1 2
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.report import write_report
from utils.command import UserError, run_command
from utils.configuration import load_configuration


def main() -> None:
    """Train once a seed, in folders of its own, and write what the last evaluation of each found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, metavar="FILE", help="configuration to train")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one training run each (default 0 1 2)")
    parser.add_argument("--device", default="auto", help="as train.py takes it")
    parser.add_argument("--json", metavar="FILE", help="where to write (default: in benchmarks/results/)")
    arguments = parser.parse_args()
    results = {}
    for seed in arguments.seeds:
        results[f"seed {seed}"] = found = train(arguments.config, seed, arguments.device)
        print(f"seed {seed}: " + ", ".join(f"{name} {value}" for name, value in found.items()), flush=True)
    print(f"written to {write_report('demo', arguments.config, results, path=arguments.json)}")


def train(config_file: str, seed: int, device: str) -> dict[str, Any]:
    """Train with a seed and return the figures of the last evaluation."""
    run_name = f"{load_configuration(config_file).logging.run_name}_seed_{seed}"
    overrides = [f"training.seed={seed}", f"logging.run_name={run_name}"]
    config = load_configuration(config_file, overrides)
    if config.logging.output_directory.exists():
        raise UserError(
            f"{config.logging.output_directory}: exists already; move it away, so that the run is timed whole"
        )
    command = [sys.executable, "train.py", "--config", config_file, "--device", device]
    start = time.perf_counter()
    subprocess.run([*command, *(part for override in overrides for part in ("--set", override))], check=True)
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

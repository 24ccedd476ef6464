"""Comparison of what different ways of computing a training step learn: short seeded runs and their loss curves.

Every run is compared with `fp32` by the mean relative difference of the reconstruction loss over the curve. A run with
another seed shows which differences are insignificant. Complete runs are not trained again.

python -m benchmarks.equal_learning --config configs/00_breakout_demo.yaml
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from utils.command import UserError, run_command
from utils.configuration import load_configuration
from utils.device import select_device
from utils.measurement import measurement_parser, write_report

SHORTENED = (
    "training.precision=fp32",
    "training.compile=false",
    "training.max_steps=400",
    "training.pretraining_steps=150",
    "evaluation.eval_freq=400",
    "evaluation.max_evaluation_batches=20",
    "logging.log_freq=10",
)

RUNS: dict[str, tuple[str, ...]] = {
    "fp32": (),
    "fp32_seed1": ("training.seed=1",),
    "activation_checkpointing": ("training.activation_checkpointing=true",),
    "bf16": ("training.precision=bf16",),
    "compile": ("training.compile=true",),
    "two_ranks": ("training.sync_batchnorm=true",),
    "two_ranks_own_norms": (),
}
RANKS = {"two_ranks": 2, "two_ranks_own_norms": 2}

CURVE = "train/reconstruction"
OUTCOMES = {"l1": "eval/reconstruction", "action_accuracy": "eval/action_accuracy"}


def main() -> None:
    """Train the runs that are not complete; print the differences of the curves, and write them."""
    parser = measurement_parser(
        "Train with each option for a few hundred steps and compare the curves with those of plain float32.",
        "python -m benchmarks.equal_learning --config configs/00_breakout_demo.yaml",
    )
    arguments = parser.parse_args()
    device = select_device(arguments.device)
    results: dict[str, Any] = {}
    for name in RUNS:
        overrides = [*arguments.overrides, *SHORTENED, *RUNS[name], f"logging.run_name=equal_learning_{name}"]
        train(arguments.config, overrides, RANKS.get(name, 1), device.type)
        results[name] = found(load_configuration(arguments.config, overrides).logging.output_directory)
        results[name]["mean_difference"] = round(mean_difference(results[name]["curve"], results["fp32"]["curve"]), 4)
        print(f"{name:26} " + ", ".join(f"{key} {value}" for key, value in results[name].items() if key != "curve"))
    print(f"written to {write_report('equal_learning', arguments.config, results, device, arguments.json)}")


def train(config_file: str, overrides: list[str], num_ranks: int, device: str) -> None:
    """Train, with `torchrun` for several ranks.

    Raises:
        UserError: training fails.
    """
    command = [sys.executable]
    if num_ranks > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={num_ranks}"]
    command += ["train.py", "--config", config_file, "--device", device]
    command += [part for override in overrides for part in ("--set", override)]
    if subprocess.run(command, check=False).returncode:
        raise UserError(f"{overrides[-1]}: training failed; its own message says why")


def found(directory: Path) -> dict[str, Any]:
    """Return the curve in a run's log, and the figures of its last evaluation."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    curve = [round(line[CURVE], 5) for line in lines if CURVE in line]
    evaluation = next(line for line in reversed(lines) if OUTCOMES["l1"] in line)
    outcomes = {name: round(evaluation[key], 4) for name, key in OUTCOMES.items() if key in evaluation}
    return {"curve": curve, **outcomes}


def mean_difference(curve: list[float], reference: list[float]) -> float:
    """Return the mean relative difference of a curve from the reference."""
    return statistics.fmean(abs(a - b) / b for a, b in zip(curve, reference, strict=True))


if __name__ == "__main__":
    run_command(main)

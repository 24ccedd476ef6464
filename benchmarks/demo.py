"""Results of the demo for several seeds: held-out accuracy and reconstruction, playability, and training time.

python -m benchmarks.demo --config configs/00_breakout_demo.yaml --seeds 0 1 2

Training is chaotic: other CPU instructions round differently, and results then differ as much as between seeds.
`--cpu_capabilities` trains with several instruction sets, so that the figures of one machine hold for others too.
"""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluation.breakout.measures import SampleMean
from evaluation.breakout.playability import Playability, measure_playability
from utils.command import UserError, run_command, tell
from utils.configuration import Configuration, load_configuration
from utils.device import select_device
from utils.measurement import CPU_CAPABILITY, measurement_parser, write_report

GAMES, FRAMES = 16, 200
"""Number of games played after each training, and number of their frames."""

OWN_FRAME = 10
"""Number, from 1, of the model's own frame in which the ball is looked for."""

INSTRUCTIONS = {"default": "SSE41", "avx2": "AVX2", "avx512": "DEFAULT"}
"""PyTorch's names of CPU instruction sets, with oneDNN's name of the same limit for convolutions."""

LESS_IS_BETTER = {"minutes", "l1"}


@dataclass(frozen=True)
class Run:
    """One training."""

    config_file: str
    overrides: list[str]
    seed: int
    capability: str | None
    """A key of `INSTRUCTIONS`; None leaves the choice to PyTorch."""

    @property
    def name(self) -> str:
        """The name of the run in the results."""
        return f"seed {self.seed}" + (f", {self.capability}" if self.capability else "")

    @property
    def all_overrides(self) -> list[str]:
        """All overrides, including those that set the seed and separate folders."""
        run_name = f"{load_configuration(self.config_file, self.overrides).logging.run_name}_seed_{self.seed}"
        run_name += f"_{self.capability}" if self.capability else ""
        return [*self.overrides, f"training.seed={self.seed}", f"logging.run_name={run_name}"]

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of its process."""
        if self.capability is None:
            return dict(os.environ)
        chosen = {CPU_CAPABILITY: self.capability, "ONEDNN_MAX_CPU_ISA": INSTRUCTIONS[self.capability]}
        return os.environ | chosen

    def load(self) -> Configuration:
        """Return the configuration of the run."""
        return load_configuration(self.config_file, self.all_overrides)


def main() -> None:
    """Train once per seed and instruction set, in separate folders, and write the results of each."""
    parser = measurement_parser(
        "Train with several seeds and report what the last evaluation of each finds and how it plays.",
        "python -m benchmarks.demo --config configs/00_breakout_demo.yaml --seeds 0 1 2",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run each (default 0 1 2)")
    parser.add_argument(
        "--cpu_capabilities",
        nargs="+",
        choices=INSTRUCTIONS,
        default=[None],
        help="train each seed with each of these sets of a CPU's instructions (default: once, with what there is)",
    )
    arguments = parser.parse_args()
    device = select_device(arguments.device)
    pairs = itertools.product(arguments.cpu_capabilities, arguments.seeds)
    runs = [Run(arguments.config, arguments.overrides, seed, capability) for capability, seed in pairs]
    for run in runs:
        require_new(run.load())
    found: dict[str, dict[str, float]] = {}
    for run in runs:
        found[run.name] = train(run, device) | play(run.load(), device)
        print(_line(run.name, found[run.name]), flush=True)
        sums = summary(list(found.values()))
        path = write_report("demo", arguments.config, found | sums, device, arguments.json)
    for name, figures in sums.items():
        print(_line(name, figures))
    print(f"written to {path}")


def require_new(config: Configuration) -> None:
    """Check that a run does not exist yet and that its action accuracy can be measured.

    Raises:
        UserError: it exists, or there are no true actions.
    """
    if not config.data.ground_truth_available:
        raise UserError("action accuracy needs true actions, but data.ground_truth_available is false")
    for folder in (config.logging.output_directory, config.logging.save_directory):
        if folder.exists():
            raise UserError(f"{folder}: exists already; move it away, so that the run is timed whole")


def train(run: Run, device: torch.device) -> dict[str, float]:
    """Train, and return the figures of the last evaluation.

    Raises:
        UserError: training fails.
    """
    config = run.load()
    command = [sys.executable, "train.py", "--config", run.config_file, "--device", device.type]
    command += [part for override in run.all_overrides for part in ("--set", override)]
    start = time.perf_counter()
    done = subprocess.run(command, env=run.environment, check=False)
    if done.returncode:
        raise UserError(f"training with {run.name} ended with exit code {done.returncode}; its own message says why")
    minutes = (time.perf_counter() - start) / 60
    return {
        "minutes": round(minutes, 2),
        "steps": config.training.max_steps,
        **_last_evaluation(config.logging.output_directory),
    }


def play(config: Configuration, device: torch.device) -> dict[str, float]:
    """Play a trained run and return the figures; empty, with a message, if it is not of Breakout."""
    try:
        found = measure_playability(config, device, GAMES, FRAMES)
    except UserError as error:
        tell(f"not played: {error}")
        return {}
    return {name: round(figure.value, 4) for name, figure in _figures(found).items() if figure.value is not None}


def _figures(found: Playability) -> Mapping[str, SampleMean]:
    figures = {
        "obeyed": found.generated.pressed_way,
        "obeyed_left": found.generated.left,
        "obeyed_stay": found.generated.stay,
        "obeyed_right": found.generated.right,
        "paddle_found": found.generated.paddle_found,
        "one_ball": found.generated.one_ball,
        "ball_one_step_ahead": found.foresight.one_step.ball,
    }
    if OWN_FRAME in found.foresight.own:
        figures[f"ball_own_frame_{OWN_FRAME}"] = found.foresight.own[OWN_FRAME].ball
    return figures


def summary(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return the median and the worst value of each figure over the runs that have it."""
    names = dict.fromkeys(name for run in runs for name in run)
    values = {name: [run[name] for run in runs if name in run] for name in names}
    return {
        "median": {name: round(float(np.median(numbers)), 5) for name, numbers in values.items()},
        "worst": {name: (max if name in LESS_IS_BETTER else min)(numbers) for name, numbers in values.items()},
    }


def _line(name: str, figures: Mapping[str, Any]) -> str:
    return f"{name}: " + ", ".join(f"{figure} {value}" for figure, value in figures.items())


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

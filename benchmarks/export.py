"""What the exported step of a model is worth: how near it is to PyTorch, how fast, how small.

ONNX Runtime and PyTorch play the same random actions from the same picture, each going on from its own frames, on the
CPU with the same number of threads. A model without a checkpoint is measured with random weights.

python -m benchmarks.export --config configs/00_breakout_demo.yaml
"""

from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.play import Player, step_seconds
from benchmarks.report import writable_file, write_report
from model.caddy import Caddy
from playing.simulator import Simulator, load_simulator
from utils.checkpoint import LATEST
from utils.command import CommandParser, positive_int, run_command
from utils.configuration import Configuration, load_configuration
from web.onnx_simulator import OnnxSimulator, largest_difference
from web.onnx_step import export_step
from web.operations import naive_cost, step_cost

NUM_RUNS = 5
"""How often each has its turn."""

WARM_UP_STEPS = 3


def main() -> None:
    """Measure, print what was found and write it."""
    parser = CommandParser(
        "Compare the exported step of a model with PyTorch: frames, speed and size. Needs no checkpoint.",
        "python -m benchmarks.export --config configs/00_breakout_demo.yaml",
    )
    add = parser.add_argument
    add("--config", required=True, metavar="FILE", help="a YAML configuration, see configs/")
    parser.add_overrides()
    add("--steps", type=positive_int, default=100, help=f"steps of each of {NUM_RUNS} runs (default: %(default)s)")
    add("--threads", type=positive_int, default=2, help="CPU threads (default: %(default)s)")
    add("--json", type=writable_file, metavar="FILE", help="where to write (default: in benchmarks/results/)")
    arguments = parser.parse_args()
    config = load_configuration(arguments.config, arguments.overrides)
    torch.set_num_threads(arguments.threads)

    results = measure(config, arguments.steps, arguments.threads)
    for precision in ("float32", "float16"):
        found = results[precision]
        print(f"{precision}  {found['bytes'] / 1e6:6.2f} MB, differs by {found['largest_difference']:.1e} at most")
    for name, rate in results["frames_per_second"].items():
        print(f"{name}  {rate:.1f} frames/s")
    print(f"a step: {results['operations']} operations; a naive export: {results['naive_operations']}")
    print(f"weights: {results['weights']}")
    print(f"written to {write_report('export', arguments.config, results, path=arguments.json)}")


def measure(config: Configuration, num_steps: int, num_threads: int) -> dict[str, Any]:
    """Play the same game with both, `NUM_RUNS` times in turn, after a short warm-up.

    Frames per second are the median over runs; a step ends when its pixels are in memory. Differences are in [-1, 1].
    """
    torch.manual_seed(config.training.seed)
    simulator, weights = _simulator(config)
    step, half = (export_step(simulator.model, half) for half in (False, True))
    exported = OnnxSimulator(step, num_threads)
    players: dict[str, Player] = {"pytorch": simulator, "onnxruntime": exported}
    random = np.random.default_rng(config.training.seed)
    stacks = random.integers(0, 256, (1, *simulator.stack_shape), np.uint8)
    actions = random.integers(simulator.actions_count, size=num_steps)

    seconds: dict[str, list[float]] = {name: [] for name in players}
    for player in players.values():
        step_seconds(player, stacks, actions[:WARM_UP_STEPS, None])
    for _ in tqdm(range(NUM_RUNS), desc="runs", disable=None):
        for name, player in players.items():
            seconds[name].append(float(step_seconds(player, stacks, actions[:, None]).sum()))
    cost, naive = step_cost(step.model), naive_cost(config)
    return {
        "frames_per_second": {name: round(num_steps / float(np.median(runs)), 2) for name, runs in seconds.items()},
        "float32": {
            "bytes": step.model.ByteSize(),
            "largest_difference": largest_difference(simulator, exported, stacks, actions),
        },
        "float16": {
            "bytes": half.model.ByteSize(),
            "largest_difference": largest_difference(simulator, OnnxSimulator(half, num_threads), stacks, actions),
        },
        "operations": cost.operations,
        "naive_operations": naive.operations,
        "multiply_adds": cost.multiply_adds,
        "naive_multiply_adds": naive.multiply_adds,
        "steps": num_steps,
        "runs": NUM_RUNS,
        "threads": num_threads,
        "weights": weights,
    }


def _simulator(config: Configuration) -> tuple[Simulator, str]:
    """The model of the run's checkpoint, or one with random weights, and which of them in words."""
    path = config.logging.save_directory / LATEST
    if path.exists():
        return load_simulator(config, torch.device("cpu"))[0], str(path)
    return Simulator(Caddy(config)), f"random ({path} is absent)"


if __name__ == "__main__":
    run_command(main)

"""Accuracy, speed and size of a model's exported step, compared with PyTorch, and speed of the page in a browser.

ONNX Runtime and PyTorch play the same random actions from the same picture, each from its own frames, on the CPU with
the same number of threads. The page is played in headless Chromium, if installed, with as many threads as there are
cores. A model without a checkpoint is measured with random weights.

python -m benchmarks.export --config configs/00_breakout_demo.yaml
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.browser import BrowserSpeed, measure_in_browser, missing_programs
from benchmarks.play import Player, step_seconds, trained_or_random
from utils.command import CommandParser, positive_int, run_command
from utils.configuration import Configuration, load_configuration
from utils.measurement import writable_file, write_report
from web.exporters import find_exporter
from web.onnx_simulator import OnnxSimulator, largest_difference
from web.operations import step_cost
from web.page_folder import ExportedGame, write_page
from web.runtime import find_runtime

NUM_RUNS = 5
"""Number of runs of PyTorch and of ONNX Runtime."""

WARM_UP_STEPS = 3


def main() -> None:
    """Measure; print and write the results."""
    parser = CommandParser(
        "Compare the exported step of a model with PyTorch: frames, speed, also in headless Chromium, and size. Needs "
        "no checkpoint.",
        "python -m benchmarks.export --config configs/00_breakout_demo.yaml",
    )
    add = parser.add_argument
    add("--config", required=True, metavar="FILE", help="a YAML configuration, see configs/")
    parser.add_overrides()
    add("--steps", type=positive_int, default=100, help="steps of each run (default: %(default)s)")
    add("--threads", type=positive_int, default=2, help="CPU threads, but for the browser (default: %(default)s)")
    add("--json", type=writable_file, metavar="FILE", help="where to write (default: in benchmarks/results/)")
    arguments = parser.parse_args()
    config = load_configuration(arguments.config, arguments.overrides)
    torch.set_num_threads(arguments.threads)

    runtime = None if missing_programs() else find_runtime()
    results = measure(config, arguments.steps, arguments.threads, runtime)
    for precision in ("float32", "float16"):
        found = results[precision]
        print(f"{precision}  {found['bytes'] / 1e6:6.2f} MB, differs by {found['largest_difference']:.1e} at most")
    for name, rate in results["frames_per_second"].items():
        print(f"{name:11}  {rate:.1f} frames/s")
    print(f"browser: {results['browser']}")
    print(f"a step: {results['operations']} operations; a naive export: {results['naive_operations']}")
    print(f"weights: {results['weights']}")
    print(f"written to {write_report('export', arguments.config, results, path=arguments.json)}")


def measure(config: Configuration, num_steps: int, num_threads: int, runtime: Path | None) -> dict[str, Any]:
    """Play the same game with PyTorch and ONNX Runtime, `NUM_RUNS` times in turn after a short warm-up, then the page.

    Without a runtime the page is left out. Frames a second are the median over runs; a step ends when its pixels are in
    memory, or in the browser on the canvas. Differences are in [-1, 1].
    """
    torch.manual_seed(config.training.seed)
    simulator, weights = trained_or_random(config, torch.device("cpu"))
    exporter = find_exporter(config)
    step, half = (exporter.export_step(simulator.model, half) for half in (False, True))
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
    cost, naive = step_cost(step.model), exporter.naive_cost(config)
    rates = {name: num_steps / float(np.median(runs)) for name, runs in seconds.items()}
    browser = f"not measured: {' and '.join(missing_programs())} not installed"
    if runtime:
        names = [str(number) for number in range(1, simulator.actions_count + 1)]
        speed = _browser_speed(ExportedGame(config, step, [stacks[0, -1]], names, frame_rate=10), runtime, num_steps)
        rates["browser"] = speed.frames_per_second
        browser = f"{speed.browser}, {speed.back_end}"
    return {
        "frames_per_second": {name: round(rate, 2) for name, rate in rates.items()},
        "browser": browser,
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


def _browser_speed(game: ExportedGame, runtime: Path, num_steps: int) -> BrowserSpeed:
    """Measure the speed of the page of a game."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page")
        write_page(page, [game], runtime)
        return measure_in_browser(page, num_steps)


if __name__ == "__main__":
    run_command(main)

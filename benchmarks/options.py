"""What each way of computing a training step costs, for each configuration: time, rate, memory, use of the device.

Memory and operations are followed without computing anything (`training.costs`), for the batches and the longest
sequences as configured. Times are measured on noise, on this device, unless a step would take too long or too much
memory here. On CUDA the peak of the allocator is measured too.

python -m benchmarks.options --configs configs/01_bair.yaml configs/02_breakout.yaml
"""

import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.play import matrix_rate
from benchmarks.report import writable_file, write_report
from training.costs import num_operations, peak_memory, step_seconds
from utils.command import CommandParser, non_negative_int, run_command
from utils.configuration import Configuration, load_configuration
from utils.device import allow_tf32, select_device

CONFIGURATIONS = ("00_breakout_demo", "01_bair", "02_breakout", "03_tennis")

OPTIONS: dict[str, tuple[str, ...]] = {
    "fp32": ("training.precision=fp32",),
    "fp32, joint decoding": ("training.precision=fp32", "training.joint_decoding=true"),
    "tf32": ("training.precision=tf32",),
    "bf16": ("training.precision=bf16",),
    "bf16, compiled": ("training.precision=bf16", "training.compile=true"),
    "bf16, CUDA graphs": ("training.precision=bf16", "training.compile=true", "training.cuda_graphs=true"),
    "fp32, recomputing": ("training.precision=fp32", "training.activation_checkpointing=true"),
    "bf16, recomputing": ("training.precision=bf16", "training.activation_checkpointing=true"),
}
ON_CUDA = ("tf32", "bf16, compiled", "bf16, CUDA graphs")
"""Options that make no difference on a CPU, or take minutes there before the first step."""

Row = dict[str, float]

LONGEST_STEP = 60.0
"""Seconds: a step that takes longer at half of the device's rate is not measured."""

COPIED_BYTES = 2**28


def main() -> None:
    """Measure, print a table and write it."""
    parser = CommandParser(
        "Measure what each way of computing a training step costs, for each configuration.",
        "python -m benchmarks.options --configs configs/02_breakout.yaml --steps 10",
    )
    parser.add_argument(
        "--configs",
        nargs="+",
        metavar="FILE",
        default=[f"configs/{name}.yaml" for name in CONFIGURATIONS],
        help="configurations (default: the four in configs/)",
    )
    parser.add_overrides()
    parser.add_device("compute on")
    parser.add_argument("--steps", type=non_negative_int, default=5, help="steps to time, 0 for memory alone")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="where to write")
    arguments = parser.parse_args()
    device = select_device(arguments.device)
    configurations = {Path(path).stem: path for path in arguments.configs}
    results: dict[str, Any] = {
        "matrix_gflop_per_second": round(max(matrix_rate(device) for _ in range(3)), 1),
        "copied_gb_per_second": round(copy_rate(device), 1),
        "threads": torch.get_num_threads(),
        "steps": arguments.steps,
    }
    table: dict[str, dict[str, Any]] = {name: {} for name in configurations}
    pairs = [
        (name, option)
        for name in configurations
        for option in OPTIONS
        if device.type == "cuda" or option not in ON_CUDA
    ]
    for name, option in tqdm(pairs, desc="options", disable=None):
        config = load_configuration(
            configurations[name], [*arguments.overrides, "training.compile=false", *OPTIONS[option]]
        )
        table[name][option] = measure(config, device, arguments.steps, results["matrix_gflop_per_second"])
    for name, rows in table.items():
        print(name)
        for option, row in rows.items():
            print(f"  {option:20} " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in row.items()))
    results["configurations"] = table
    print(f"written to {write_report('options', 'all', results, device, arguments.json)}")


def measure(config: Configuration, device: torch.device, num_steps: int, gflop_per_second: float) -> Row:
    """The figures of one configuration with its options.

    Args:
        config: the configuration.
        device: to compute on.
        num_steps: how many steps to time; 0 for none.
        gflop_per_second: what the device reaches with large matrices.
    """
    gflop = num_operations(config) / 1e9
    row = {"peak_gib": round(peak_memory(config) / 2**30, 2), "gflop": round(gflop, 1)}
    if num_steps and 2 * gflop / gflop_per_second < LONGEST_STEP:
        row |= _timed(config, device, num_steps, gflop, gflop_per_second)
    return row


def copy_rate(device: torch.device) -> float:
    """How fast memory is copied, in GB read and written a second: the best of a few."""
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = [_now(device)]
    for _ in range(5):
        target.copy_(source)
        times.append(_now(device))
    return 2 * COPIED_BYTES / min(after - before for before, after in itertools.pairwise(times)) / 1e9


def _timed(config: Configuration, device: torch.device, num_steps: int, gflop: float, gflop_per_second: float) -> Row:
    allow_tf32(config.training.precision != "fp32")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = statistics.median(step_seconds(config, device, num_steps))
    batching = config.training.batching
    row = {
        "milliseconds": round(1000 * seconds, 1),
        "frames_per_second": round(batching.batch_size * batching.observations_count / seconds, 2),
        "share_of_matrix_rate": round(gflop / (gflop_per_second * seconds), 3),
    }
    if device.type == "cuda":
        row["allocated_gib"] = round(torch.cuda.max_memory_allocated(device) / 2**30, 2)
    return row


def _now(device: torch.device) -> float:
    if device.type != "cpu":
        torch.get_device_module(device).synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    run_command(main)

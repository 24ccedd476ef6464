"""Costs of each way of computing a training step, for each configuration: time, rate, memory, use of the device.

Memory and operations are counted without computing anything (`training.costs`), for the configured batches and the
longest sequences. Times are measured on this device, unless a step would take too long, on noise that the loader reads
from memory while the previous step is computed. On CUDA the peak of the allocator is measured too.

python -m benchmarks.options --configs configs/01_bair.yaml configs/02_breakout.yaml
"""

import gc
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.play import matrix_rate
from dataset.batching import BatchLoader, TrainingSampler, make_loader
from dataset.formats import sequence_options
from dataset.video import Video, write_video
from dataset.video_dataset import VideoDataset
from training.costs import step_costs, step_seconds
from utils.command import CommandParser, non_negative_int, run_command
from utils.configuration import Configuration, load_configuration
from utils.device import allow_tf32, select_device
from utils.measurement import writable_file, write_report

CONFIGURATIONS = ("00_breakout_demo", "01_bair", "02_breakout", "03_tennis")

OPTIONS: dict[str, tuple[str, ...]] = {
    "fp32": ("training.precision=fp32",),
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
"""Seconds: a step that would take longer at half of the device's rate is not measured."""

COPIED_BYTES = 2**28


def main() -> None:
    """Measure; print and write a table."""
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
    rates = Rates(
        matrix_gflop_per_second=round(max(matrix_rate(device) for _ in range(3)), 1),
        copied_gb_per_second=round(copy_rate(device), 1),
    )
    results: dict[str, Any] = {**asdict(rates), "threads": torch.get_num_threads(), "steps": arguments.steps}
    results["overrides"] = arguments.overrides
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
        table[name][option] = measure(config, device, arguments.steps, rates)
    for name, rows in table.items():
        print(name)
        for option, row in rows.items():
            print(f"  {option:20} " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in row.items()))
    results["configurations"] = table
    name = "all" if set(configurations) == set(CONFIGURATIONS) else "+".join(configurations)
    print(f"written to {write_report('options', name, results, device, arguments.json)}")


@dataclass(frozen=True)
class Rates:
    """The rates of a device."""

    matrix_gflop_per_second: float
    """Rate of products of large matrices."""
    copied_gb_per_second: float
    """Bytes read and written while copying memory."""


def measure(config: Configuration, device: torch.device, num_steps: int, rates: Rates) -> Row:
    """Measure the figures of one configuration with its options.

    Args:
        config: the configuration.
        device: the device to compute on.
        num_steps: number of steps to time, 0 for none.
        rates: the rates of the device.
    """
    costs = step_costs(config)
    gflop = costs.operations / 1e9
    row = {"peak_gib": round(costs.peak_bytes / 2**30, 2), "gflop": round(gflop, 1)}
    if num_steps and 2 * gflop / rates.matrix_gflop_per_second < LONGEST_STEP:
        row |= timing(config, device, num_steps, gflop, rates.matrix_gflop_per_second)
        moved = costs.moved_bytes / 1e6 / row["milliseconds"]
        row["share_of_copy_rate"] = round(moved / rates.copied_gb_per_second, 3)
    return row


def timing(
    config: Configuration, device: torch.device, num_steps: int, gflop: float, matrix_gflop_per_second: float
) -> Row:
    """Time steps, and on CUDA read the peak of the allocator.

    Args:
        config: the configuration.
        device: the device to compute on.
        num_steps: number of steps to time.
        gflop: the operations of a step, in billions.
        matrix_gflop_per_second: the device's rate of products of large matrices.
    """
    seconds, waiting = _timed(config, device, num_steps)
    batching = config.training.batching
    row = {
        "milliseconds": round(1000 * seconds, 1),
        "frames_per_second": round(batching.batch_size * batching.observations_count / seconds, 2),
        "share_of_matrix_rate": round(gflop / (matrix_gflop_per_second * seconds), 3),
        "share_waiting_for_data": round(waiting, 4),
    }
    if device.type == "cuda":
        row["allocated_gib"] = round(torch.cuda.max_memory_allocated(device) / 2**30, 2)
    return row


def copy_rate(device: torch.device) -> float:
    """Measure the rate of copying memory, in GB read and written a second: the best of a few."""
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = [_now(device)]
    for _ in range(5):
        target.copy_(source)
        times.append(_now(device))
    return 2 * COPIED_BYTES / min(after - before for before, after in itertools.pairwise(times)) / 1e9


def _timed(config: Configuration, device: torch.device, num_steps: int) -> tuple[float, float]:
    """Measure the median seconds of a step, and the share of all steps' time spent waiting for data."""
    allow_tf32(config.training.precision != "fp32")
    torch.compiler.reset()  # frees the memory of graphs compiled before
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    waits: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        seconds = step_seconds(config, device, num_steps, _awaited(_noise_loader(config, device, Path(folder)), waits))
    return statistics.median(seconds), sum(waits[1:]) / sum(seconds)


def _noise_loader(config: Configuration, device: torch.device, folder: Path) -> BatchLoader:
    """Return a loader of endless batches from a video of noise that is cached in memory."""
    batching, (width, height) = config.training.batching, config.model.representation_network.target_input_size
    length = 2 * batching.observations_count * (batching.skip_frames + 1)
    random = np.random.default_rng(0)
    write_video(folder / "noise", (random.integers(0, 256, (height, width, 3), np.uint8) for _ in range(length)))
    whole = {"crop": [0, 0, width, height], "cache": "memory"}
    dataset = VideoDataset([Video(folder / "noise")], **sequence_options(config, batching) | whole)
    sampler = TrainingSampler(dataset, batching.batch_size, lambda _: batching.observations_count, seed=0)
    return make_loader(dataset, sampler, device=device)


def _awaited(loader: BatchLoader, waits: list[float]) -> Iterator[Tensor]:
    """Yield the observations of batches on their device; append the seconds of waiting for each to `waits`."""
    batches = iter(loader)
    while True:
        start = time.perf_counter()
        batch = next(batches)
        waits.append(time.perf_counter() - start)
        yield batch.to(loader.device).observations()


def _now(device: torch.device) -> float:
    if device.type != "cpu":
        torch.get_device_module(device).synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    run_command(main)

"""Growth of training's time and memory with sequence length, batch size, frame area and number of videos.

The slope is that of a line fitted to the logarithms: 1 if twice the work takes twice as much, 0 if it takes no more.
Videos are index entries only, of `VIDEO_LENGTH` frames each, for which the order of training is planned.

python -m benchmarks.scaling --config configs/00_breakout_demo.yaml
"""

import itertools
import statistics
import time
import tracemalloc
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from tqdm import tqdm

from dataset.annotations import Annotations
from dataset.batching import TrainingSampler
from dataset.video import Video
from dataset.video_dataset import VideoDataset
from training.costs import step_costs, step_seconds
from utils.command import positive_int, run_command
from utils.configuration import Configuration, load_configuration
from utils.device import select_device
from utils.measurement import measurement_parser, write_report

FACTORS = (1, 2, 3, 4)
NUM_VIDEOS = (10, 100, 1000, 10_000, 100_000)
VIDEO_LENGTH = 200
NUM_BATCHES = 100


def main() -> None:
    """Measure; print the slopes and write all figures."""
    parser = measurement_parser(
        "Measure how time and memory of training grow with sequence length, batch, frame area and number of videos.",
        "python -m benchmarks.scaling --config configs/00_breakout_demo.yaml",
    )
    parser.add_argument("--steps", type=positive_int, default=3, help="steps timed at each size")
    arguments = parser.parse_args()
    device = select_device(arguments.device)
    results = {}
    for name, sizes in sizes_of(arguments.overrides, arguments.config).items():
        rows = [
            {"size": size, "seconds": statistics.median(step_seconds(config, device, arguments.steps))}
            | {"peak_mib": round(step_costs(config).peak_bytes / 2**20, 1)}
            for size, config in tqdm(sizes.items(), desc=name, disable=None)
        ]
        results[name] = with_slopes(rows)
    config = load_configuration(arguments.config, arguments.overrides)
    results["videos"] = with_slopes([order_costs(config, number) for number in NUM_VIDEOS])
    for name, found in results.items():
        slopes = ", ".join(f"{key} {slope:.2f}" for key, slope in found["slopes"].items())
        print(f"{name:20} {found['rows'][0]['size']} to {found['rows'][-1]['size']}: slopes {slopes}")
    print(f"written to {write_report('scaling', arguments.config, results, device, arguments.json)}")


def sizes_of(overrides: Sequence[str], path: str) -> dict[str, dict[int, Configuration]]:
    """Return the configurations to measure, by the quantity that grows and by its size."""
    base = load_configuration(path, list(overrides))
    batching = base.training.batching
    width, height = base.model.representation_network.target_input_size

    def with_values(*values: str) -> Configuration:
        return load_configuration(path, ["training.precision=fp32", "training.compile=false", *overrides, *values])

    lengths = [batching.observations_count * factor for factor in FACTORS]
    batches = [batching.batch_size * factor for factor in FACTORS]
    areas = [(width, height * factor) for factor in FACTORS]
    return {
        "observations": {n: with_values(f"training.batching.observations_count={n}") for n in lengths},
        "batch": {n: with_values(f"training.batching.batch_size={n}") for n in batches},
        "pixels": {
            w * h: with_values(
                f"model.representation_network.target_input_size=[{w}, {h}]",
                f"model.representation_network.state_resolution=[{h // 8}, {w // 8}]",
            )
            for w, h in areas
        },
    }


def order_costs(config: Configuration, num_videos: int) -> dict[str, Any]:
    """Measure the costs of indexing videos, and of shuffling and drawing `NUM_BATCHES` batches of their sequences."""
    annotations = Annotations([0] * VIDEO_LENGTH, [0.0] * VIDEO_LENGTH, [{}] * VIDEO_LENGTH, [False] * VIDEO_LENGTH)
    entry = SimpleNamespace(num_frames=VIDEO_LENGTH, annotations=annotations, path=Path("video"))
    batching = config.training.batching

    def index() -> VideoDataset:
        return VideoDataset(
            cast(list[Video], [entry] * num_videos),
            crop=config.data.crop,
            size=config.model.representation_network.target_input_size,
            observations_count=batching.observations_count,
            skip_frames=batching.skip_frames,
        )

    def draw(dataset: VideoDataset) -> None:
        sampler = TrainingSampler(dataset, batching.batch_size, lambda _: batching.observations_count, seed=0)
        deque(itertools.islice(sampler, NUM_BATCHES), maxlen=0)

    start = time.perf_counter()
    dataset = index()
    indexed = time.perf_counter()
    draw(dataset)
    drawn = time.perf_counter()
    del dataset
    tracemalloc.start()  # again, since tracing memory takes time
    draw(index())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "size": num_videos,
        "index_seconds": indexed - start,
        "order_seconds": drawn - indexed,
        "peak_mib": round(peak / 2**20, 1),
    }


def with_slopes(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the rows, and for each figure the slope of its logarithm over that of the size."""
    sizes = np.log([row["size"] for row in rows])
    figures = [name for name in rows[0] if name != "size"]
    slopes = {name: float(np.polyfit(sizes, np.log([row[name] for row in rows]), 1)[0]) for name in figures}
    return {"rows": rows, "slopes": {name: round(slope, 2) for name, slope in slopes.items()}}


if __name__ == "__main__":
    torch.set_num_threads(2)
    run_command(main)

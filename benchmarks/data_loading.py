"""How many frames a second come out of the data loader, for each cache, beside a bare loop that decodes frame files.

python -m benchmarks.data_loading --config configs/02_breakout.yaml
"""

import itertools
import random
import statistics
import timeit
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image

from benchmarks.report import measurement_parser, write_report
from dataset.batching import TrainingSampler, make_loader
from dataset.video import FRAME_SUFFIXES, Video
from training.run import open_split
from utils.command import positive_int, run_command
from utils.configuration import Cache, Configuration, load_configuration
from utils.device import select_device

NUM_REPEATS = 5


def main() -> None:
    """Measure the loader on some training videos of a configuration, print the results and write them."""
    parser = measurement_parser(
        "Measure how many frames a second come out of the data loader, for each cache and number of workers.",
        "python -m benchmarks.data_loading --config configs/02_breakout.yaml --set training.batching.num_workers=2",
    )
    parser.add_argument("--videos", type=positive_int, default=32, help="how many videos to read")
    parser.add_argument("--batches", type=positive_int, default=50, help="batches in one measurement")
    arguments = parser.parse_args()

    config = load_configuration(arguments.config, arguments.overrides)
    device = select_device(arguments.device)
    torch.set_num_threads(1)

    results = measure(config, device, arguments.videos, arguments.batches)
    print(f"{results['frame_size'][0]}x{results['frame_size'][1]}, {results['frames_per_batch']} frames in a batch")
    for name, frames_per_second in results["frames_per_second"].items():
        print(f"{frames_per_second:9.0f} frames/s  {name}")
    print(f"written to {write_report('data_loading', arguments.config, results, device, arguments.json)}")


def measure(config: Configuration, device: torch.device, num_videos: int, num_batches: int) -> dict[str, Any]:
    """Return medians of frames per second: of bare decoding, and of batches by cache and number of workers.

    The time of workers includes their start, which weighs little over many batches.
    """
    batching = config.training.batching
    frames_per_batch = batching.batch_size * (batching.observations_count + batching.observation_stacking - 1)
    num_frames = num_batches * frames_per_batch
    runs: dict[str, Callable[[], object]] = {}
    for cache in get_args(Cache):
        cached = config.model_copy(update={"data": config.data.model_copy(update={"cache": cache})})
        dataset = open_split(cached, "train", batching, num_videos)
        runs.setdefault("bare decoding", partial(_decode, _frame_files(dataset.videos, num_frames)))
        sampler = TrainingSampler(dataset, batching.batch_size, lambda _step: batching.observations_count, seed=0)
        batches = list(itertools.islice(sampler, num_batches))
        for num_workers in sorted({0, batching.num_workers}):
            loader = make_loader(dataset, batches, num_workers, device)
            runs[f"cache {cache}, {num_workers} workers"] = partial(deque, loader, maxlen=0)
    return {
        "frame_size": config.model.representation_network.target_input_size,
        "frames_per_batch": frames_per_batch,
        "frames_per_second": {name: round(num_frames / seconds) for name, seconds in _median_seconds(runs).items()},
    }


def _frame_files(videos: Sequence[Video], num_frames: int) -> list[Path]:
    """Files of frames in random order, as often as it takes to have `num_frames`."""
    files = [file for video in videos for file in video.path.iterdir() if file.suffix.lower() in FRAME_SUFFIXES]
    random.Random(0).shuffle(files)
    return list(itertools.islice(itertools.cycle(files), num_frames))


def _median_seconds(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The time of each run. They take turns, so that a busy machine slows all alike; the first turn warms up."""
    turns = [{name: timeit.timeit(run, number=1) for name, run in runs.items()} for _ in range(1 + NUM_REPEATS)]
    return {name: statistics.median(turn[name] for turn in turns[1:]) for name in runs}


def _decode(files: Iterable[Path]) -> None:
    """Decode frames with nothing around: no checks, no crop, no resize, no batches."""
    for file in files:
        with Image.open(file) as image:
            np.asarray(image.convert("RGB"))


if __name__ == "__main__":
    run_command(main)

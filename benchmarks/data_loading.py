"""Speed of the data loader for each cache, compared with a bare loop that decodes frame files.

Also, the share of the time that training steps of `STEP_SECONDS` on a device would wait for data: decoded meanwhile by
workers, cached on disk, or from shards that are fetched and decoded meanwhile.

python -m benchmarks.data_loading --config configs/02_breakout.yaml
"""

import itertools
import random
import statistics
import tempfile
import time
import timeit
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image

from dataset.acquisition.shard import ShardOptions, plan_shards, write_shards
from dataset.batching import Batch, TrainingSampler, make_loader
from dataset.formats import sequence_options
from dataset.open import open_split
from dataset.shards.loader import ShardedLoader
from dataset.shards.split import ShardedSplit
from dataset.video import FRAME_SUFFIXES, Video
from utils.command import positive_int, run_command
from utils.configuration import Cache, Configuration, load_configuration
from utils.device import select_device
from utils.measurement import measurement_parser, write_report

NUM_REPEATS = 5

STEP_SECONDS = 0.02
MAX_WORKERS = 2
NUM_SHARDS = 8
LOCAL_SHARDS = 4


def main() -> None:
    """Measure the loader on some training videos of a configuration; print and write the results."""
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
    results["waiting"] = measure_waiting(config, device, arguments.videos, arguments.batches)
    print(f"{results['frame_size'][0]}x{results['frame_size'][1]}, {results['frames_per_batch']} frames in a batch")
    for name, frames_per_second in results["frames_per_second"].items():
        print(f"{frames_per_second:9.0f} frames/s  {name}")
    for name, share in results["waiting"].items():
        print(f"{share:9.1%} of the time waits for data  {name}")
    print(f"written to {write_report('data_loading', arguments.config, results, device, arguments.json)}")


def measure(config: Configuration, device: torch.device, num_videos: int, num_batches: int) -> dict[str, Any]:
    """Measure the median frames a second of bare decoding, and of batches by cache and number of workers.

    The time includes the start of workers, which matters little over many batches.
    """
    batching = config.training.batching
    frames_per_batch = batching.batch_size * (batching.observations_count + batching.observation_stacking - 1)
    num_frames = num_batches * frames_per_batch
    runs: dict[str, Callable[[], object]] = {}
    for name, cache, num_workers in _sources({0, batching.num_workers}):
        dataset = open_split(_with_cache(config, cache), "train", batching, num_videos)
        runs.setdefault("bare decoding", partial(_decode, _frame_files(dataset.videos, num_frames)))
        sampler = TrainingSampler(dataset, batching.batch_size, lambda _step: batching.observations_count, seed=0)
        batches = list(itertools.islice(sampler, num_batches))
        runs[name] = partial(deque, make_loader(dataset, batches, num_workers, device), maxlen=0)
    return {
        "frame_size": config.model.representation_network.target_input_size,
        "frames_per_batch": frames_per_batch,
        "frames_per_second": {name: round(num_frames / seconds) for name, seconds in _median_seconds(runs).items()},
    }


def measure_waiting(config: Configuration, device: torch.device, num_videos: int, num_batches: int) -> dict[str, float]:
    """Measure the share of the time that simulated steps wait for data, by its source.

    The start of workers, and fetching and decoding before the first batch, are not counted. At most half of the shards
    are on this disk at a time.
    """
    batching = config.training.batching

    def schedule(_step: int) -> int:
        return batching.observations_count

    shares = {}
    for name, cache, num_workers in _sources(range(MAX_WORKERS + 1)):
        dataset = open_split(_with_cache(config, cache), "train", batching, num_videos)
        sampler = TrainingSampler(dataset, batching.batch_size, schedule, seed=0)
        shares[name] = _waiting_share(iter(make_loader(dataset, sampler, num_workers, device)), num_batches)
    with tempfile.TemporaryDirectory() as folder:
        split = _write_shards(_with_cache(config, "disk"), dataset.videos, Path(folder, "shards"))
        sharded = ShardedLoader(
            split,
            batching.batch_size,
            schedule,
            seed=0,
            device=device,
            local_shards=LOCAL_SHARDS,
            directory=Path(folder, "local"),
        )
        shares["shards, cache disk"] = _waiting_share(iter(sharded), num_batches)
    return shares


def _sources(worker_counts: Iterable[int]) -> Iterator[tuple[str, Cache, int]]:
    """Yield the sources of frames: the name, the cache, and the number of workers that decode without a cache."""
    for cache in get_args(Cache):
        if cache == "none":
            yield from ((f"cache none, {number} workers", cache, number) for number in sorted(worker_counts))
        else:
            yield f"cache {cache}", cache, 0


def _with_cache(config: Configuration, cache: str) -> Configuration:
    return config.model_copy(update={"data": config.data.model_copy(update={"cache": cache})})


def _write_shards(config: Configuration, videos: Sequence[Video], directory: Path) -> ShardedSplit:
    """Write videos to `NUM_SHARDS` shards or a few more, and open them with the settings of the configuration."""
    directory.mkdir()
    num_bytes = sum(file.stat().st_size for video in videos for file in video.path.iterdir())
    options = ShardOptions(num_bytes // NUM_SHARDS, clip_length=1000, overlap=64)
    write_shards(plan_shards({"train": videos}, options), directory)
    return ShardedSplit(str(directory), "train", **sequence_options(config, config.training.batching))


def _waiting_share(batches: Iterator[Batch], num_batches: int) -> float:
    """Return the share of the time that simulated steps wait for their batch, without the first one."""
    next(batches)
    waited = 0.0
    for _ in range(num_batches):
        time.sleep(STEP_SECONDS)  # stands for a step on a device
        start = time.perf_counter()
        next(batches)
        waited += time.perf_counter() - start
    return round(waited / (waited + num_batches * STEP_SECONDS), 4)


def _frame_files(videos: Sequence[Video], num_frames: int) -> list[Path]:
    """Return `num_frames` files of frames in random order, repeated if there are fewer."""
    files = [file for video in videos for file in video.path.iterdir() if file.suffix.lower() in FRAME_SUFFIXES]
    random.Random(0).shuffle(files)
    return list(itertools.islice(itertools.cycle(files), num_frames))


def _median_seconds(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each run; they take turns, so that a busy machine slows all equally."""
    turns = [{name: timeit.timeit(run, number=1) for name, run in runs.items()} for _ in range(1 + NUM_REPEATS)]
    return {name: statistics.median(turn[name] for turn in turns[1:]) for name in runs}


def _decode(files: Iterable[Path]) -> None:
    """Decode frames and do nothing else: no checks, no crop, no resize, no batches."""
    for file in files:
        with Image.open(file) as image:
            np.asarray(image.convert("RGB"))


if __name__ == "__main__":
    run_command(main)

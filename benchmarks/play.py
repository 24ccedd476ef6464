"""Speed of play, compared with a plain transcription of the method and with the machine's limit.

The plain variant is `model.plain` stepped eagerly, with the frames of all three resolutions. The limit is the time of
its multiplications and additions at the rate at which the machine multiplies matrices, measured in the same run.

python -m benchmarks.play --config configs/02_breakout.yaml
"""

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from model.build import build_model
from model.plain import plain_model
from playing.simulator import Moment, Simulator, load_simulator
from utils.checkpoint import LATEST
from utils.command import positive_int, run_command
from utils.configuration import Configuration, load_configuration
from utils.device import select_device
from utils.images import normalize
from utils.measurement import measurement_parser, write_report

NUM_RUNS = 5
"""Number of runs of each variant."""

WARM_UP_STEPS = 3
MATRIX_SIDE = 2048
CUDA_MATRIX_SIDE = 8192
"""Large enough that starting a product, and waiting for it, takes no part of its time."""

PERCENTILES = (50, 95, 99)


def main() -> None:
    """Measure both variants in turn; print and write the results."""
    parser = measurement_parser(
        "Time the steps of play, one game at a time, beside a plain transcription of the method. Needs no checkpoint.",
        "python -m benchmarks.play --config configs/02_breakout.yaml",
    )
    parser.add_argument(
        "--steps", type=positive_int, default=50, help=f"steps of each of {NUM_RUNS} runs (default: %(default)s)"
    )
    parser.add_argument("--threads", type=positive_int, default=2, help="CPU threads (default: %(default)s)")
    arguments = parser.parse_args()
    config = load_configuration(arguments.config, arguments.overrides)
    device = select_device(arguments.device)
    torch.set_num_threads(arguments.threads)

    results = measure(config, device, arguments.steps)
    for name in ("plain", "ours"):
        found = results[name]
        latencies = ", ".join(f"{value:.1f} ({percentile}%)" for percentile, value in found["milliseconds"].items())
        print(
            f"{name:5}  {found['frames_per_second']:7.1f} frames/s, {found['share_of_limit']:.2f} of the limit; "
            f"a step takes {latencies} ms"
        )
    print(
        f"ours is {results['speedup']:.2f} times as fast; limit: {results['limit_frames_per_second']:.1f} frames/s "
        f"({results['step_gflop']:.2f} GFLOP a step at {results['matrix_gflop_per_second']:.0f} GFLOP/s)"
    )
    print(f"weights: {results['weights']}")
    print(f"written to {write_report('play', arguments.config, results, device, arguments.json)}")


class Player(Protocol):
    """The common interface of `playing.simulator.Simulator` and other simulators."""

    def start(self, stacks: np.ndarray) -> Moment:
        """Return the moment before the first action, as `Simulator.start`."""

    def step(self, moment: Moment, actions: np.ndarray) -> Moment:
        """Return the moment after actions are taken, as `Simulator.step`."""


class PlainSimulator:
    """A simulator of the plain model.

    It shares no code with `Simulator`, which may become faster.
    """

    def __init__(self, config: Configuration, weights: dict[str, Tensor], device: torch.device) -> None:
        """Build the plain model of a configuration with given weights."""
        self.model = plain_model(config)
        self.model.load_state_dict(weights)
        self.model.to(device).eval()
        self.device = device

    @torch.no_grad()
    def start(self, stacks: np.ndarray) -> Moment:
        """Return the moment before the first action, as `Simulator.start`."""
        pixels = torch.from_numpy(stacks).to(self.device)
        observation = normalize(pixels.flip(1).movedim(-1, 2).flatten(1, 2)).contiguous()
        return Moment(observation, self.model.initial_state(len(stacks)))

    @torch.no_grad()
    def step(self, moment: Moment, actions: np.ndarray) -> Moment:
        """Return the moment after actions are taken, as `Simulator.step` without variations."""
        actions_count, dimension = self.model.centroids.shape
        one_hot = functional.one_hot(torch.from_numpy(actions).to(self.device), actions_count).to(torch.float32)
        variation = torch.zeros(len(actions), dimension, device=self.device)
        imagined = self.model.step(moment.state, moment.observation, one_hot, variation)
        return Moment(imagined.observation, imagined.state)


def measure(
    config: Configuration,
    device: torch.device,
    num_steps: int,
    others: Mapping[str, Callable[[Simulator], "Player"]] | None = None,
) -> dict[str, Any]:
    """Play the same game with both variants, `NUM_RUNS` times in turn, after a short warm-up.

    `others` are made of ours and take their turns too, under their names. A step ends when the pixels of its frame are
    in memory. Frames a second are the median over whole runs; latencies are percentiles over the steps of all runs, in
    milliseconds.
    """
    torch.manual_seed(config.training.seed)
    ours, weights = trained_or_random(config, device)
    plain = PlainSimulator(config, ours.model.state_dict(), device)
    players: dict[str, Player] = {"plain": plain, "ours": ours}
    players |= {name: make(ours) for name, make in (others or {}).items()}
    random = np.random.default_rng(config.training.seed)
    width, height = config.model.representation_network.target_input_size
    stacking = config.evaluation.batching.observation_stacking
    stacks = random.integers(0, 256, (1, stacking, height, width, 3), np.uint8)
    actions = random.integers(0, config.data.actions_count, (num_steps, 1))

    runs: dict[str, list[np.ndarray]] = {name: [] for name in players}
    rates = [matrix_rate(device)]
    for player in players.values():
        step_seconds(player, stacks, actions[:WARM_UP_STEPS])
    for _ in tqdm(range(NUM_RUNS), desc="runs", disable=None):
        for name, player in players.items():
            runs[name].append(step_seconds(player, stacks, actions))
        rates.append(matrix_rate(device))
    ratios = [slow.sum() / fast.sum() for slow, fast in zip(runs["plain"], runs["ours"], strict=True)]
    gflop = step_gflop(plain, stacks, actions[0])
    limit = max(rates) / gflop
    return {
        **{name: summary(seconds, limit) for name, seconds in runs.items()},
        "speedup": round(float(np.median(ratios)), 3),
        "step_gflop": round(gflop, 4),
        "matrix_gflop_per_second": round(max(rates), 1),
        "limit_frames_per_second": round(limit, 2),
        "steps": num_steps,
        "runs": NUM_RUNS,
        "threads": torch.get_num_threads(),
        "weights": weights,
    }


def step_seconds(player: Player, stacks: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Play a game and return the seconds of each step: (T,).

    Args:
        player: the simulator.
        stacks: uint8 (1, S, H, W, 3) to start from.
        actions: (T, 1) actions to take.
    """
    moment = player.start(stacks)
    times = [time.perf_counter()]
    for action in actions:
        moment = player.step(moment, action)
        _ = moment.frames  # waits for the device
        times.append(time.perf_counter())
    return np.diff(times)


def summary(runs: list[np.ndarray], limit: float) -> dict[str, Any]:
    """Return the figures of a variant, from the seconds of each run's steps and the limit in frames a second."""
    frames_per_second = float(np.median([len(seconds) / seconds.sum() for seconds in runs]))
    latencies = (1000 * np.percentile(np.concatenate(runs), PERCENTILES)).tolist()
    return {
        "frames_per_second": round(frames_per_second, 2),
        "share_of_limit": round(frames_per_second / limit, 3),
        "milliseconds": {str(key): round(value, 2) for key, value in zip(PERCENTILES, latencies, strict=True)},
    }


def matrix_rate(device: torch.device, num_products: int = 3, dtype: torch.dtype = torch.float32) -> float:
    """Measure the best rate of a few products of large matrices, in GFLOP/s."""
    side = CUDA_MATRIX_SIDE if device.type == "cuda" else MATRIX_SIDE
    matrix = torch.rand(side, side, device=device, dtype=dtype)
    times = [time.perf_counter()]
    for _ in range(num_products):
        torch.mm(matrix, matrix)[0, 0].item()  # waits for the device
        times.append(time.perf_counter())
    return 2 * side**3 / min(after - before for before, after in itertools.pairwise(times)) / 1e9


def step_gflop(player: Player, stacks: np.ndarray, actions: np.ndarray) -> float:
    """Count the multiplications and additions of a step, in billions, one of each per element of a product."""
    moment = player.start(stacks)
    with FlopCounterMode(display=False) as counter:
        player.step(moment, actions)
    return counter.get_total_flops() / 1e9


def trained_or_random(config: Configuration, device: torch.device) -> tuple[Simulator, str]:
    """Return the model of the run's checkpoint, or one with random weights, and a description of the weights."""
    path = config.logging.save_directory / LATEST
    if path.exists():
        simulator, _ = load_simulator(config, device)
        return simulator, str(path)
    return Simulator(build_model(config).to(device)), f"random ({path} is absent)"


if __name__ == "__main__":
    run_command(main)

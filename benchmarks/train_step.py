"""Time and memory of a training step, compared with a plain transcription of the method.

The plain variant is `model.plain` trained plainly: Adam is not fused, and each term of the loss is read from the device
at every step. Both variants compute in float32, are not compiled, and have the same loss. Its perceptual term, with its
gradient, counts as part of the forward pass, and its features as saved.

python -m benchmarks.train_step --config configs/02_breakout.yaml --set training.batching.batch_size=2
"""

import itertools
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from dataset.batching import Batch, TrainingSampler, make_loader
from dataset.open import open_split
from dataset.video_dataset import SequenceKey
from model.build import build_model
from model.perceptual import PerceptualNetwork, load_perceptual_network
from model.plain import plain_model
from model.playable import PlayableModel
from training.objective import Objective
from utils.command import positive_int, run_command
from utils.configuration import Configuration, load_configuration
from utils.device import select_device
from utils.measurement import measurement_parser, write_report

MAXRSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10
PHASES = ("data", "forward", "backward", "optimiser")


def main() -> None:
    """Measure both variants in turn; print and write medians."""
    parser = measurement_parser(
        "Time the phases of a training step, beside a plain transcription of the method.",
        "python -m benchmarks.train_step --config configs/02_breakout.yaml --set training.batching.batch_size=2",
    )
    parser.add_argument("--steps", type=positive_int, default=10, help="measured steps of each variant")
    parser.add_argument("--threads", type=positive_int, default=2, help="CPU threads")
    arguments = parser.parse_args()
    config = load_configuration(arguments.config, arguments.overrides)
    device = select_device(arguments.device)
    torch.set_num_threads(arguments.threads)

    needs_network = config.training.loss_weights.need_perceptual_network
    network = load_perceptual_network().to(device) if needs_network else None
    results = measure(config, device, arguments.steps, network)
    for name in ("plain", "ours"):
        phases = ", ".join(f"{phase} {results[name]['milliseconds'][phase]:.0f}" for phase in PHASES)
        print(
            f"{name:5}  {results[name]['frames_per_second']:7.1f} frames/s  {phases} ms, "
            f"{results[name]['saved_for_backward_mib']:.0f} MiB saved for the backward pass"
        )
    print(f"ours is {results['speedup']:.2f} times as fast; batches: {results['batches']}")
    print(f"written to {write_report('train_step', arguments.config, results, device, arguments.json)}")


def measure(
    config: Configuration, device: torch.device, num_steps: int, perceptual_network: PerceptualNetwork | None
) -> dict[str, Any]:
    """Time steps of the full pass, with both variants taking turns after a warm-up of two steps each.

    Args:
        config: the configuration.
        device: the device to compute on.
        num_steps: number of steps of each variant.
        perceptual_network: on the device; None if the loss needs none.

    Returns:
        Per variant, the medians in milliseconds of each phase and of the whole step, true frames a second, and memory;
        and the speedup of ours over the plain variant (median of the ratios of neighbouring steps).
    """
    batches, origin = _batches(config, device)
    steppers = {
        "plain": _Stepper(config, plain_model(config), perceptual_network, device, is_plain=True),
        "ours": _Stepper(config, build_model(config), perceptual_network, device, is_plain=False),
    }
    results: dict[str, Any] = {name: stepper.memory(next(batches)) for name, stepper in steppers.items()}
    times: dict[str, list[list[float]]] = {name: [] for name in steppers}
    for repeat in tqdm(range(num_steps + 1), desc="steps", disable=None):
        for name, stepper in steppers.items():
            taken = stepper.step(batches)
            if repeat > 0:
                times[name].append(taken)
    batching = config.training.batching
    for name, rows in times.items():
        totals = [sum(row) for row in rows]
        medians = [1000 * statistics.median(column) for column in zip(*rows, strict=True)]
        results[name]["milliseconds"] = {
            **{phase: round(value, 1) for phase, value in zip(PHASES, medians, strict=True)},
            "step": round(1000 * statistics.median(totals), 1),
        }
        frames = batching.batch_size * batching.observations_count
        results[name]["frames_per_second"] = round(frames / statistics.median(totals), 2)
    ratios = [sum(plain) / sum(ours) for plain, ours in zip(times["plain"], times["ours"], strict=True)]
    return {
        **results,
        "speedup": round(statistics.median(ratios), 3),
        "batch_size": batching.batch_size,
        "observations_count": batching.observations_count,
        "threads": torch.get_num_threads(),
        "batches": origin,
        "peak_process_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MAXRSS_PER_MIB),
    }


@dataclass
class _Stepper:
    """One variant of the training step."""

    config: Configuration
    model: PlayableModel
    perceptual_network: PerceptualNetwork | None
    device: torch.device
    is_plain: bool

    def __post_init__(self) -> None:
        self.model.to(self.device).train()
        self.objective = Objective(self.config, self.perceptual_network).to(self.device)
        options: dict[str, Any] = {} if self.is_plain else {"fused": True}
        training = self.config.training
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, **options
        )

    def step(self, batches: Iterator[Batch]) -> list[float]:
        """Take one step, and return the seconds of each phase."""
        moments = [self._now()]
        batch = next(batches).to(self.device)
        moments.append(self._now())
        total = self._forward(batch)
        moments.append(self._now())
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        moments.append(self._now())
        self.optimizer.step()
        moments.append(self._now())
        return [after - before for before, after in itertools.pairwise(moments)]

    def memory(self, batch: Batch) -> dict[str, float]:
        """Warm up with one step, and return the memory that it needs, in MiB."""
        saved: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            resident = torch.cuda.memory_allocated(self.device)
        parameters = {parameter.untyped_storage().data_ptr() for parameter in self.model.parameters()}
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            total = self._forward(batch.to(self.device))
            total.backward()
        self.optimizer.step()
        activations = sum(size for pointer, size in saved.items() if pointer not in parameters)
        memory = {"saved_for_backward_mib": round(activations / 2**20, 1)}
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device) - resident
            memory["peak_beyond_weights_mib"] = round(peak / 2**20, 1)
        return memory

    def _forward(self, batch: Batch) -> Tensor:
        observations = batch.observations()
        if self.is_plain:
            observations = observations.contiguous()
        true_observations = min(self.config.training.ground_truth_observations_start, observations.shape[1] - 1)
        rollout = self.model(observations, true_observations)
        loss = self.objective(rollout, observations[:, :, :3], pretraining=False)
        if self.is_plain:
            for term in loss.terms.values():
                term.item()
        return loss.total

    def _now(self) -> float:
        if self.device.type != "cpu":
            torch.get_device_module(self.device).synchronize()
        return time.perf_counter()


def _batches(config: Configuration, device: torch.device) -> tuple[Iterator[Batch], str]:
    """Return endless training batches and their source: the configuration's data set, or noise if it is absent."""
    batching = config.training.batching
    length = batching.observations_count
    if Path(config.data.data_root).is_dir():
        dataset = open_split(config, "train", batching)
        sampler = TrainingSampler(dataset, batching.batch_size, lambda _: length, config.training.seed)
        return iter(make_loader(dataset, sampler, batching.num_workers, device)), config.data.data_root
    width, height = config.model.representation_network.target_input_size
    num_frames = length + batching.observation_stacking - 1
    pixels = torch.randint(0, 256, (batching.batch_size, num_frames, height, width, 3), dtype=torch.uint8)
    batch = Batch(
        keys=[SequenceKey(0, 0, length)] * batching.batch_size,
        frames=pixels.movedim(-1, 2),
        actions=torch.zeros(batching.batch_size, length, dtype=torch.int64),
        rewards=torch.zeros(batching.batch_size, length),
        dones=torch.zeros(batching.batch_size, length, dtype=torch.bool),
        positions=None,
    )
    return itertools.repeat(batch), f"noise ({config.data.data_root} is absent)"


if __name__ == "__main__":
    run_command(main)

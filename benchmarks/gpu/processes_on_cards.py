"""Stage: two processes that train together, on one card through gloo and on two through NCCL, beside one process.

All compute the same batches, so that their losses agree up to rounding.
"""

import multiprocessing
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.gpu.setting import Results, Setting, attempt
from model.build import build_model
from model.layers.batch_norm import synchronize_batch_norms
from training.objective import Objective
from training.state import TrainingState
from training.step import Phase, TrainingStep
from utils import ranks
from utils.device import allow_tf32
from utils.distributed import with_shared_gradients

NUM_STEPS = 10
NUM_COMPARED = 3
"""Steps whose losses are compared: rounding parts any two trainings later."""

_context = multiprocessing.get_context("fork")  # the card is not used yet in this process


def measure(setting: Setting) -> Results:
    """Train with one process, then with two through each backend that the machine has cards for."""
    runs = {"one process": (1, ""), "two processes, gloo": (2, "gloo")}
    if setting.device == "cuda" and torch.cuda.device_count() > 1:
        runs["two processes, NCCL"] = (2, "nccl")
    found: dict[str, Any] = {}
    for name, (num_ranks, backend) in runs.items():
        found[name] = attempt(partial(_train_together, setting, num_ranks, backend))
        one = found["one process"]
        if "losses" in found[name] and "losses" in one:
            pairs = list(zip(found[name]["losses"], one["losses"], strict=True))[:NUM_COMPARED]
            found[name]["loss_difference"] = max(abs(a - b) / abs(b) for a, b in pairs)
        yield "runs", found


def _train_together(setting: Setting, num_ranks: int, backend: str) -> dict[str, Any]:
    """Start the processes, and return what the first of them found.

    Raises:
        RuntimeError: they failed, or were still at it when the time was over.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        receiver, sender = _context.Pipe(duplex=False)
        processes = [
            _context.Process(target=_train, args=(setting, rank, num_ranks, backend, store, sender), daemon=True)
            for rank in range(num_ranks)
        ]
        for process in processes:
            process.start()
        sender.close()
        for process in processes:
            process.join(setting.seconds_left)
        if any(process.exitcode != 0 for process in processes):
            codes = [process.exitcode for process in processes]
            for process in processes:
                process.kill()
            raise RuntimeError(f"the processes ended with {codes}")
        found: dict[str, Any] = receiver.recv()
        return found


def _train(setting: Setting, rank: int, num_ranks: int, backend: str, store: Path, sender: Any) -> None:
    """Take the steps of one process; the first sends the losses and the time of a step."""
    setting.end_in_time()
    torch.set_num_threads(1)
    device = torch.device(setting.device, rank if backend == "nccl" else 0)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if num_ranks > 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")  # needs no network
        dist.init_process_group(backend, init_method=f"file://{store}", rank=rank, world_size=num_ranks)
    allow_tf32(False)
    config = setting.configuration("00_breakout_demo", "training.precision=fp32", "training.compile=false")
    torch.manual_seed(config.training.seed)
    model = build_model(config).to(device).train()
    synchronize_batch_norms(model)
    objective = Objective(config, None).to(device)
    state = TrainingState(config, model, objective)
    step = with_shared_gradients(TrainingStep(model, objective), device)
    batching = config.training.batching
    shape = (batching.batch_size, batching.observations_count, *_observation_shape(config))
    torch.manual_seed(config.training.seed)
    noise = torch.rand(shape) * 2 - 1
    observations = noise.chunk(num_ranks)[rank].to(device)
    phase = Phase(False, config.training.ground_truth_observations_end, config.training.gumbel_temperature_end)
    losses, moments = [], []
    for _ in range(NUM_COMPARED if setting.rehearses else NUM_STEPS):
        loss = step(observations, phase).loss.total
        state.update(loss)
        losses.append(float(ranks.mean(loss.detach())))  # waits for the device
        moments.append(time.perf_counter())
    if rank == 0:
        milliseconds = 1000 * (moments[-1] - moments[0]) / (len(moments) - 1)
        sender.send({"losses": losses, "milliseconds": round(milliseconds, 1), "device": str(device)})
    if num_ranks > 1:
        dist.destroy_process_group()


def _observation_shape(config: Any) -> tuple[int, int, int]:
    width, height = config.model.representation_network.target_input_size
    return 3 * config.training.batching.observation_stacking, height, width

"""Stage: time and memory of a training step of the published configurations, in each way of computing it.

The share of the matrix rate is that of the rate of the same precision. What is recomputed does not count as work.
"""

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks import options, train_step
from benchmarks.gpu.environment import matrix_rates
from benchmarks.gpu.setting import PUBLISHED, Results, Setting, attempt
from training.costs import random_perceptual_network, step_costs
from utils.configuration import Configuration
from utils.device import allow_tf32

EAGER = ("tf32", "bf16", "fp32", "bf16, recomputing", "fp32, recomputing")
COMPILED = ("bf16, compiled", "bf16, CUDA graphs")

NUM_STEPS = 5
NUM_STEPS_IN_TURNS = 3
SECONDS_TO_COMPILE = 25.0
"""What compilation of a configuration takes at least: it is not begun with less."""


def measure(setting: Setting) -> Results:
    """Measure the steps that are not compiled, then beside the plain transcription, then what is compiled."""
    device = torch.device(setting.device)
    rates = matrix_rates(setting)
    costs = {name: step_costs(setting.configuration(name, *options.OPTIONS["fp32"])) for name in PUBLISHED}
    work = {name: cost.operations / 1e9 for name, cost in costs.items()}
    yield "gflop", {name: round(gflop, 1) for name, gflop in work.items()}
    rows: dict[str, dict[str, Any]] = {name: {} for name in PUBLISHED}

    def timed(name: str, option: str) -> dict[str, float]:
        config = setting.configuration(name, "training.compile=false", *options.OPTIONS[option])
        rate = rates[config.training.precision]
        return options.timing(config, device, 1 if setting.rehearses else NUM_STEPS, work[name], rate)

    for option in EAGER:
        for name in PUBLISHED:
            rows[name][option] = attempt(partial(timed, name, option))
            yield "configurations", rows
    plain: dict[str, Any] = {}
    for name in PUBLISHED:
        plain[name] = attempt(partial(beside_plain, setting, name))
        yield "beside_plain", plain
    for option in COMPILED:
        for name in PUBLISHED:
            rows[name][option] = _compiled(setting, partial(timed, name, option))
            yield "configurations", rows


def beside_plain(setting: Setting, name: str) -> dict[str, Any]:
    """Measure steps in float32 in turns with those of the plain transcription."""
    config: Configuration = setting.configuration(name, "training.precision=fp32", "training.compile=false")
    device = torch.device(setting.device)
    allow_tf32(False)
    gc.collect()
    network = None
    if config.training.loss_weights.need_perceptual_network:
        network = random_perceptual_network().to(device)
    found = train_step.measure(config, device, 1 if setting.rehearses else NUM_STEPS_IN_TURNS, network)
    return {
        "speedup": found["speedup"],
        **{f"{variant}_milliseconds": found[variant]["milliseconds"]["step"] for variant in ("plain", "ours")},
    }


def _compiled(setting: Setting, timed: Callable[[], dict[str, float]]) -> Any:
    if setting.device != "cuda":
        return {"skipped": "needs CUDA"}
    if setting.seconds_left < SECONDS_TO_COMPILE:
        return {"skipped": "no time left"}
    return attempt(timed)

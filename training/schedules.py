"""Values that depend on the global step, which counts optimiser updates from 1 (docs/method.md#schedules)."""

import math

from utils.configuration import Batching, Training


def gumbel_temperature(step: int, config: Training) -> float:
    """Temperature of the Gumbel-Softmax: falls linearly, then stays constant."""
    start, end = config.gumbel_temperature_start, config.gumbel_temperature_end
    return max(end, start - (start - end) * step / config.gumbel_temperature_steps)


def observations_count(step: int, batching: Batching) -> int:
    """Observations in a sequence: grows linearly from `observations_count_start`, then stays constant."""
    end = batching.observations_count
    start = batching.observations_count_start or end
    return min(end, math.floor(start + (end - start) * step / batching.observations_count_steps))


def ground_truth_observations(step: int, config: Training) -> int:
    """True observations before generated ones drive the dynamics: falls linearly; at most all but the last one."""
    start, end = config.ground_truth_observations_start, config.ground_truth_observations_end
    falling = math.ceil(start - (start - end) * step / config.ground_truth_observations_steps)
    return min(max(end, falling), observations_count(step, config.batching) - 1)


def is_pretraining(step: int, config: Training) -> bool:
    """Whether the step belongs to the pretraining phase."""
    return step <= config.pretraining_steps

"""Whether memory and times stay as they are during a long run."""

import statistics
from collections.abc import Sequence

import numpy as np

from utils.command import UserError

WARM_UP = 0.2
"""Share of a run that is left out where memory is concerned."""


def slope(numbers: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much values grow when numbers grow by 1000, after the warm-up: a line through them."""
    first = WARM_UP * max(numbers)
    late = [(number, value) for number, value in zip(numbers, values, strict=True) if number >= first]
    if len(late) < 2:
        raise UserError("too few values to tell whether memory is flat; raise --count and --frames")
    return float(np.polyfit([number for number, _ in late], [value for _, value in late], 1)[0] * 1000)


def slowing(seconds: Sequence[float]) -> float:
    """Return the median of the last tenth over that of the first, after a hundredth to warm up."""
    settled = seconds[len(seconds) // 100 :]
    tenth = max(1, len(settled) // 10)
    return statistics.median(settled[-tenth:]) / statistics.median(settled[:tenth])

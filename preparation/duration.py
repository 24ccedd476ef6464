"""Training that fits into a given time: the number of its steps, and schedules in proportion to it."""

from typing import Any

from preparation.choices import Choice, Choices
from utils.command import UserError

SHARE_OF_STEPS = 0.9
"""Share of the time that steps take; evaluations, checkpoints and the start take the rest."""

FEWEST_STEPS = 100
"""Fewer steps find no actions, and evaluations more often than this would take most of the time."""

SCHEDULES = (
    "training.lr_schedule",
    "training.pretraining_steps",
    "training.save_freq",
    "training.gumbel_temperature_steps",
    "training.batching.observations_count_steps",
)
"""Keys of steps that are in proportion to those of the whole training."""


def steps_within(minutes: float, seconds_per_step: float) -> int:
    """Return the number of training steps that fit into some minutes.

    Raises:
        UserError: so few that training would be in vain.
    """
    num_steps = int(SHARE_OF_STEPS * 60 * minutes / seconds_per_step)
    if num_steps < FEWEST_STEPS:
        needed = FEWEST_STEPS * seconds_per_step / 60 / SHARE_OF_STEPS
        raise UserError(
            f"--minutes {minutes:g}: only {num_steps} steps of {seconds_per_step:.2g} s fit into that, and fewer than "
            f"{FEWEST_STEPS} find no actions; give at least {needed:.1f}"
        )
    return num_steps


def within(settings: Choices, num_steps: int, why: str) -> Choices:
    """Return the settings of a recipe for a training of another length, with the reason for it."""
    factor = num_steps / settings["training.max_steps"].value
    scaled = {
        key: Choice(_times(factor, settings[key].value), settings[key].why) for key in SCHEDULES if key in settings
    }
    evaluations = settings["evaluation.eval_freq"]
    return {
        **settings,
        **scaled,
        "training.max_steps": Choice(num_steps, why),
        "evaluation.eval_freq": Choice(max(FEWEST_STEPS, _times(factor, evaluations.value)), evaluations.why),
    }


def _times(factor: float, steps: Any) -> Any:
    """Multiply a number of steps, or a list of them; what begins after a step keeps doing so."""
    if isinstance(steps, list):
        return [_times(factor, entry) for entry in steps]
    return max(1, round(factor * steps)) if steps else 0

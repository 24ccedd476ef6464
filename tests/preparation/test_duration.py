"""Trainings of a given time: how many steps, and schedules in proportion."""

import pytest

from preparation.choices import chosen_values
from preparation.duration import FEWEST_STEPS, steps_within, within
from preparation.recipes import REDUCED_RECIPE, small_recipe
from utils.command import UserError


def test_steps_take_nine_tenths_of_the_time() -> None:
    assert steps_within(10, 0.5) == 1080


def test_a_time_that_is_too_short_for_any_actions() -> None:
    with pytest.raises(UserError, match=r"--minutes 0\.5: only 54 steps of 0\.5 s .*; give at least 0\.9"):
        steps_within(0.5, 0.5)


@pytest.mark.parametrize("factor", [0.5, 2])
def test_schedules_are_in_proportion(factor: float) -> None:
    settings = small_recipe(2).settings
    training = chosen_values(within(settings, round(3000 * factor), "as asked for"))["training"]
    assert (training["max_steps"], training["gumbel_temperature_steps"]) == (3000 * factor, 1500 * factor)
    assert training["lr_schedule"] == [factor * step for step in range(1200, 3000, 150)]
    assert training["pretraining_steps"] == 0
    published = within(REDUCED_RECIPE.settings, round(300_000 * factor), "as asked for")
    assert published["training.pretraining_steps"].value == 3000 * factor
    assert published["training.batching.observations_count_steps"].value == 15_000 * factor


def test_evaluations_do_not_take_most_of_a_short_training() -> None:
    assert within(small_recipe(2).settings, FEWEST_STEPS, "")["evaluation.eval_freq"].value == FEWEST_STEPS

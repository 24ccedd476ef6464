"""Where in the action space the actions begin, before anything is learned (`model.action._initial_points`)."""

import math

from preparation.choices import Choice, Choices
from preparation.movement_axis import MovementAxis

FEWEST_AROUND = 5
"""Actions from which one begins in the middle and the others around it, if what is played moves all ways."""

TOLD_APART = 2.0
"""Difference between the logits of neighbouring actions at the point of one of them: soft, so that they can move."""


def action_layout(axis: MovementAxis, actions_count: int) -> Choices:
    """Choose where the actions begin.

    Args:
        axis: how what is played moves.
        actions_count: number of actions, at least 2.
    """
    is_ring = axis.goes_all_ways and actions_count >= FEWEST_AROUND
    if is_ring:
        distance = min(1.0, 2 * math.sin(math.pi / (actions_count - 1)))
        layout = Choice("ring", "... around standing still, since what is played moves all ways ...")
        angle = Choice(0, "... beginning at the right")
    else:
        distance = 2 / (actions_count - 1)
        ways = {0: "from left to right", 90: "from top to bottom"}
        layout = Choice("line", "... side by side ...")
        angle = Choice(axis.angle, f"... {ways.get(axis.angle, 'on a slanted line')}, as what is played moves most")
    key = "model.action_network.initial_classifier"
    return {
        f"{key}_spread": Choice(round(TOLD_APART / distance**2, 1), "the actions begin apart ..."),
        f"{key}_layout": layout,
        f"{key}_angle": angle,
    }

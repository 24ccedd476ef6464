"""Where actions begin in the action space, for each way in which things move."""

import pytest
import torch
from torch import nn

from model.build import build_model
from preparation.action_layout import action_layout
from preparation.choices import chosen_values
from preparation.movement_axis import MovementAxis
from tests.configurations import small_configuration

ALL_WAYS = MovementAxis(30, goes_all_ways=True)


@pytest.mark.parametrize(
    ("axis", "count", "spread", "layout", "angle"),
    [
        (MovementAxis(90), 3, 2.0, "line", 90),
        (MovementAxis(0), 5, 8.0, "line", 0),
        (ALL_WAYS, 4, 4.5, "line", 30),
        (ALL_WAYS, 5, 2.0, "ring", 0),
        (ALL_WAYS, 9, 3.4, "ring", 0),
    ],
)
def test_actions_begin_along_a_line_or_around_standing_still(
    axis: MovementAxis, count: int, spread: float, layout: str, angle: int
) -> None:
    network = chosen_values(action_layout(axis, count))["model"]["action_network"]
    assert network == {
        "initial_classifier_spread": spread,
        "initial_classifier_layout": layout,
        "initial_classifier_angle": angle,
    }


@pytest.mark.parametrize(("axis", "count"), [(MovementAxis(0), 3), (MovementAxis(0), 7), (ALL_WAYS, 5), (ALL_WAYS, 7)])
def test_neighbouring_actions_begin_equally_far_apart(axis: MovementAxis, count: int) -> None:
    choices = [f"{key}={choice.value}" for key, choice in action_layout(axis, count).items()]
    config = small_configuration(f"data.actions_count={count}", *choices)
    classifier = build_model(config).get_submodule("action_network.0.final_fc")
    with torch.no_grad():
        logits = classifier(last_point(classifier)).sort(descending=True).values.tolist()
    assert logits[0] - logits[1] == pytest.approx(2, rel=0.02)


def last_point(classifier: nn.Module) -> torch.Tensor:
    """The point around which the last action begins: from w = 2 s p and b = -s p^2."""
    assert isinstance(classifier, nn.Linear)
    weight, bias = classifier.weight[-1], classifier.bias[-1]
    return -2 * bias * weight / weight.square().sum()

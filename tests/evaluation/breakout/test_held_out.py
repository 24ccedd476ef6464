"""How far ahead the ball is drawn, by a model that does so for some frames only."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from evaluation.breakout.held_out import CONTEXT, Foresight, foresee, infer_held_out, open_held_out
from evaluation.breakout.tracking import Playfield
from tests.evaluation.breakout.test_playability import OVERRIDES, write_play
from tests.synthetic import square_configuration
from utils.configuration import Configuration

CPU = torch.device("cpu")


@pytest.fixture
def breakout(tmp_path: Path) -> Configuration:
    write_play(tmp_path / "data", num_frames=29, with_ball=True)
    return square_configuration(tmp_path, *OVERRIDES)


def foreseen(config: Configuration, last_own: int, first_one_step: int = 1) -> Foresight:
    """What is measured of a model that draws the truth up to an own frame, from then on that of a step before.

    After true frames alone it draws the truth from some frame on.
    """

    def model(observations: Tensor, true_observations: int, **_: Any) -> Any:
        frames = observations[:, 1:, :3].clone()
        length = observations.shape[1]
        late = (
            slice(true_observations + last_own - 1, None)
            if true_observations == CONTEXT
            else slice(0, first_one_step - 1)
        )
        frames[:, late] = observations[:, :-1, :3][:, late]
        actions = functional.one_hot(torch.zeros(len(observations), length - 1, dtype=torch.int64), 3)
        return SimpleNamespace(frames=SimpleNamespace(full=frames), actions=actions)

    simulator: Any = SimpleNamespace(model=model)
    dataset = open_held_out(config)
    held_out = infer_held_out(simulator, dataset, config, CPU)
    playfield = Playfield.of(held_out.frames.reshape(-1, *held_out.frames.shape[2:]))
    return foresee(simulator, dataset, held_out, playfield, config, CPU)


def test_how_many_own_frames_show_the_ball(breakout: Configuration) -> None:
    found = foreseen(breakout, last_own=5)
    assert {number: drawn.ball.value for number, drawn in found.own.items()} == {1: 1, 5: 1, 10: 0, 20: 0}
    assert {number: drawn.ball.value for number, drawn in foreseen(breakout, 4).own.items()}[5] == 0
    assert {number: drawn.ball.value for number, drawn in foreseen(breakout, 0).own.items()}[1] == 0
    videos, starts = 3, 30 - (CONTEXT + 20) + 1
    assert found.own[20].ball.samples == videos * starts


def test_one_step_ahead_is_measured_after_the_context(breakout: Configuration) -> None:
    found = foreseen(breakout, 0, first_one_step=CONTEXT).one_step.ball
    assert (found.value, found.samples) == (1, 3 * (30 - CONTEXT))
    late = foreseen(breakout, 0, first_one_step=CONTEXT + 2).one_step.ball
    assert late.value == pytest.approx(1 - 2 / (30 - CONTEXT))

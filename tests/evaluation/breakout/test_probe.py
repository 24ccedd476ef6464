"""What an evaluation during training says of the ball."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dataset.open import open_split
from evaluation.breakout.probe import probe_breakout
from model.caddy import Caddy, Rollout
from tests.evaluation.breakout.test_playability import write_play
from tests.evaluation.breakout.test_tracking import draw
from tests.synthetic import square_configuration
from training import validation
from training.validation import Evaluator
from utils.configuration import Configuration
from utils.images import normalize

CONTEXT, LENGTH = 4, 16


def sequences() -> Tensor:
    """True frames (2, 16, 3, 96, 80) with a ball that moves."""
    frames = [[draw(20.0 + 4 * time, (10 + 3 * time, 40 + row + 2 * time)) for time in range(LENGTH)] for row in (0, 5)]
    return normalize(torch.from_numpy(np.array(frames))).movedim(-1, 2)


def test_frames_of_now_and_of_before() -> None:
    true = sequences()
    now, before = true[:, 1:], true[:, :-1]
    found = probe_breakout(true, now, CONTEXT, lambda: before)
    assert found.keys() == {"ball drawn one step", "ball drawn 10 own"}
    np.testing.assert_array_equal(found["ball drawn 10 own"], [1, 1])
    np.testing.assert_array_equal(found["ball drawn one step"], np.zeros(2 * (LENGTH - CONTEXT)))
    assert probe_breakout(true, before, CONTEXT).keys() == {"ball drawn 10 own"}


def test_it_is_the_tenth_own_frame() -> None:
    true = sequences()
    made = true[:, :-1].clone()
    made[:, CONTEXT + 10 - 2] = true[:, CONTEXT + 10 - 1]
    np.testing.assert_array_equal(probe_breakout(true, made, CONTEXT)["ball drawn 10 own"], [1, 1])


def test_sequences_that_end_before_it() -> None:
    true = sequences()[:, : CONTEXT + 9]
    assert probe_breakout(true, true[:, 1:], CONTEXT, lambda: true[:, 1:]).keys() == {"ball drawn one step"}


def test_other_footage_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    noise = torch.rand(2, 16, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert probe_breakout(noise, noise[:, 1:], CONTEXT, lambda: pytest.fail("not needed")) == {}
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def breakout(tmp_path: Any) -> Configuration:
    write_play(tmp_path / "data", with_ball=True)
    overrides = ("data.crop=[0, 0, 80, 96]", "model.representation_network.target_input_size=[80, 96]")
    return square_configuration(
        tmp_path,
        *overrides,
        "model.representation_network.state_resolution=[12, 10]",
        "evaluation.batching.batch_size=3",
        "evaluation.max_evaluation_batches=3",
        "evaluation.batching.observations_count=16",
        "evaluation.ground_truth_observations=4",
    )


def evaluated(config: Configuration) -> validation.EvaluationResult:
    torch.manual_seed(0)
    dataset = open_split(config, "val", config.evaluation.batching)
    return Evaluator(config, dataset, torch.device("cpu")).evaluate(Caddy(config))


@pytest.mark.usefixtures("_without_plots")
def test_an_evaluation_says_it_in_its_summary(breakout: Configuration) -> None:
    found = evaluated(breakout)
    names = {name for name in found.scalars if "ball" in name}
    assert names == {"eval/ball_drawn_one_step", "eval/ball_drawn_10_own"}
    assert all(found.scalars[name] == 0 for name in names)  # the model has learned nothing
    assert found.summary().endswith("ball drawn 10 own 0.000, ball drawn one step 0.000")


@pytest.mark.usefixtures("_without_plots")
def test_what_an_evaluation_asks_of(breakout: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def probe(true: Tensor, made: Tensor, context: int, one_step: Any) -> dict[str, np.ndarray]:
        asked.append((true, made, context, one_step and one_step()))
        return {"things seen": np.array([0.0, 1.0][: len(asked)])}

    def forward(self: Caddy, observations: Tensor, ground_truth_observations: int, **options: Any) -> Rollout:
        true_observations.append(ground_truth_observations)
        return original(self, observations, ground_truth_observations, **options)

    true_observations: list[int] = []
    original = Caddy.forward
    monkeypatch.setattr(Caddy, "forward", forward)
    monkeypatch.setattr(validation, "probe_breakout", probe)
    found = evaluated(breakout)
    assert found.scalars["eval/things_seen"] == pytest.approx(2 / 5)  # of all samples
    (true, made, context, one_step), *others = asked
    assert len(others) == 2
    assert all(other[-1] is None for other in others)
    assert true.shape == (3, 16, 3, 96, 80)
    torch.testing.assert_close(one_step[:, :context], made[:, :context])
    assert [number for number in true_observations if number != context] == [LENGTH - 1]

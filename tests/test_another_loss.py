"""A loss of one's own is trained with and logged: a function, an entry in the table of terms, and a weight."""

import json
from pathlib import Path

import pytest
from torch import Tensor

from tests.synthetic import write_configuration
from training import run
from training.objective import TERMS, Comparison, Objective, Term
from utils.configuration import Configuration, LossWeights, Training
from utils.sections import NonNegativeFloat, load_sections


def flicker(comparison: Comparison, _: Objective) -> Tensor:
    """Mean absolute change between consecutive reconstructed frames."""
    return comparison.rollout.frames.full.diff(dim=1).abs().mean()


class ToyWeights(LossWeights):
    flicker_lambda: NonNegativeFloat = 0.0


class ToyTraining(Training):
    loss_weights: ToyWeights = ToyWeights()


class ToyConfiguration(Configuration):
    training: ToyTraining


@pytest.mark.parametrize("weight", [0, 0.5])
def test_it_is_trained_with_and_logged(weight: float, square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.objective.TERMS", (*TERMS, Term("flicker", "flicker_lambda", flicker)))
    overrides = ["max_steps=2", "pretraining_steps=0", "batching.observations_count_start=3"]
    overrides.append(f"loss_weights.flicker_lambda={weight}")
    config = load_sections(
        ToyConfiguration,
        write_configuration(square),
        ["logging.log_freq=1", *(f"training.{override}" for override in overrides)],
    )

    assert run.train(config, "cpu") == 0

    lines = (config.logging.output_directory / "metrics.jsonl").read_text().splitlines()
    steps = [line for line in map(json.loads, lines) if "train/loss" in line]
    assert len(steps) == 2
    for step in steps:
        assert ("train/flicker" in step) == (weight > 0)
        weights = config.training.loss_weights.in_phase(pretraining=False)
        total = sum(
            term.sign * weights[term.key] * step[f"train/{term.name}"]
            for term in (*TERMS, Term("flicker", "flicker_lambda", flicker))
            if weights[term.key]
        )
        assert step["train/loss"] == pytest.approx(total, rel=1e-4)


def test_a_term_without_a_weight_is_our_mistake(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.objective.TERMS", (*TERMS, Term("flicker", "flicker_lambda", flicker)))
    config = load_sections(Configuration, write_configuration(square))
    with pytest.raises(AssertionError, match="every term has a weight"):
        run.train(config, "cpu")

"""Metrics of one's own are measured and written: a function or a class, and an entry in the list."""

from pathlib import Path

import pytest
from torch import Tensor

from evaluation import networks
from evaluation.all_metrics import METRICS, of_each_frame
from evaluation.dataset_evaluator import DATA_FILE, evaluate_dataset
from evaluation.metric import Metric, Needs, PairBatch
from evaluation.results import Results, read_results
from tests.generated import NUM_SEQUENCES, T, evaluation_configuration, write_data
from utils.command import UserError


def brightness_error(reference: Tensor, generated: Tensor) -> Tensor:
    return (reference.mean(dim=(2, 3, 4)) - generated.mean(dim=(2, 3, 4))).abs()


class NumActions(Metric):
    """How many actions were inferred."""

    def __init__(self, needs: Needs) -> None:
        assert needs.actions_count == 3
        self.count = 0

    def add(self, batch: PairBatch) -> None:
        self.count += batch.pairs.inferred_actions.size

    def results(self) -> Results:
        return Results({"num_actions": self.count}, samples={"num_actions": self.count})


def never_there(needs: Needs) -> Metric | None:
    def load() -> NumActions:
        raise UserError("there is no such thing")

    return needs.get(("never_there",), load)


def missing() -> None:
    raise UserError("there is no such network here")


def test_they_are_measured_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data(tmp_path)
    for name in ("similarity_network", "lpips_network", "inception", "i3d"):
        monkeypatch.setattr(networks, f"load_{name}", missing)
    own = (of_each_frame("brightness_error", brightness_error), NumActions, never_there)
    monkeypatch.setattr("evaluation.dataset_evaluator.METRICS", (*METRICS, *own))

    evaluate_dataset(evaluation_configuration(tmp_path, "evaluation.movement=none"), "cpu")

    output = tmp_path / "evaluation_results/square"
    results = read_results(output / DATA_FILE)
    assert results.values["brightness_error/0"] == 0
    assert isinstance(error := results.values["brightness_error/1"], float)
    assert error > 0
    assert results.intervals["brightness_error/1"][0] <= error <= results.intervals["brightness_error/1"][1]
    assert results.values["num_actions"] == NUM_SEQUENCES * (T - 1)
    assert results.reasons["never_there"] == "there is no such thing"
    assert "warning: never_there cannot be computed: there is no such thing" in capsys.readouterr().out
    report = (output / "report.html").read_text()
    assert "brightness_error" in report
    assert "num_actions" in report

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dataset.video import write_video
from evaluation import networks
from evaluation.action_comparison import ActionComparison
from evaluation.dataset_evaluator import DATA_FILE, evaluate_dataset, read_demonstrations
from evaluation.frame_comparison import FrameComparison
from evaluation.metric import PairBatch
from evaluation.metrics.frame_errors import mse
from evaluation.networks import InceptionNetwork
from evaluation.results import Results, read_results
from evaluation.sequence_pairs import Pairs, SequencePairs
from evaluation.set_comparison import SetComparison
from model.perceptual import PerceptualNetwork
from tests.generated import ERROR, NUM_SEQUENCES, T, evaluation_configuration, write_data
from utils.command import UserError

MISSING = "there is no such network here"


class Brightness(nn.Module):
    """Stands for a network that sees frames: mean colours, padded with zeros to the features of Inception-v3."""

    def forward(self, frames: Tensor) -> Tensor:
        return nn.functional.pad(frames.mean(dim=(2, 3)), (0, 2045))

    def class_probabilities(self, features: np.ndarray) -> np.ndarray:
        return np.eye(4)[(features[:, 0] > 0.2).astype(int)]


def _missing() -> nn.Module:
    raise UserError(MISSING)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data, and no network."""
    write_data(tmp_path)
    for name in ("similarity_network", "lpips_network", "inception", "i3d"):
        monkeypatch.setattr(networks, f"load_{name}", _missing)
    return tmp_path


def batch_of(reference: Tensor, generated: Tensor) -> PairBatch:
    """Frames (B, T, 3, H, W) alone, without actions."""
    nothing = np.empty(0)
    names = [str(number) for number in range(len(reference))]
    return PairBatch(Pairs(names, nothing, nothing, [], [], nothing, nothing), reference, generated)


def number(results: Results, name: str) -> float:
    value = results.values[name]
    assert isinstance(value, float)
    return value


def evaluated(folder: Path, *overrides: str) -> Results:
    return evaluate_dataset(evaluation_configuration(folder, *overrides), "cpu")


def test_what_is_found_is_written(folder: Path) -> None:
    results = evaluated(folder)
    output = folder / "evaluation_results/square"
    written = read_results(output / DATA_FILE)
    assert written.values.keys() == results.values.keys()
    assert written.reasons == results.reasons
    assert written.provenance["run_name"] == "square"
    assert written.provenance["configuration"]["generated_data"]["data_root"] == str(folder / "generated")
    assert "<html" in (output / "report.html").read_text()
    assert {path.suffix for path in (output / "plots").iterdir()} == {".png", ".pdf"}


def test_frames_are_compared_by_position(folder: Path) -> None:
    results = evaluated(folder)
    assert number(results, "mse/0") == 0
    assert number(results, "psnr/0") == pytest.approx(80)
    by_position = [number(results, f"mse/{position}") for position in range(1, T)]
    darker = (ERROR / 255) ** 2
    # Grey of 40 becomes black; only the square is bright enough to lose all of ERROR.
    assert all(0 < error < darker for error in by_position)
    assert number(results, "mse/avg") == pytest.approx(np.mean([0, *by_position]))
    assert number(results, "mse/avg_generated") == pytest.approx(np.mean(by_position))


def test_actions_are_told_by_movement_and_agree_with_the_true_ones(folder: Path) -> None:
    results = evaluated(folder)
    assert number(results, "actions/hungarian_accuracy") == 1
    assert results.intervals["actions/hungarian_accuracy"] == [1, 1]
    assert 0 <= number(results, "action_variance/delta_mse") < 0.1
    usage = [number(results, f"action_usage/{action}") for action in range(3)]
    assert sum(usage) == pytest.approx(1)
    assert results.samples["action_usage"] == NUM_SEQUENCES * (T - 1)
    assert number(results, "linear/action_accuracy") > 0.9
    assert results.samples["sequences"] == NUM_SEQUENCES


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ("evaluation.movement=generic", "the centre of the largest region that differs"),
        ("evaluation.movement=published_breakout", "published: the first run from the left"),
    ],
)
def test_the_report_says_by_which_rule_movement_is_found(folder: Path, override: str, rule: str) -> None:
    assert evaluated(folder, override).protocol["movement"].startswith(rule)
    output = folder / "evaluation_results/square"
    assert rule in read_results(output / DATA_FILE).protocol["movement"]
    assert rule in (output / "report.html").read_text()


def test_what_cannot_be_computed_is_missing_with_its_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = evaluated(folder)
    for name in ("fid", "kid/mean", "inception_score/mean", "lpips/avg", "vgg_cosine_similarity/avg", "fvd"):
        assert results.values[name] is None
        reason = results.reasons[name.split("/")[0]]
        assert reason == ("it takes sequences of 10 frames at least" if name == "fvd" else MISSING)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert told == [f"warning: vgg_cosine_similarity, lpips, fid, kid, inception_score cannot be computed: {MISSING}"]


def test_nothing_is_written_if_all_is_required_and_something_missing(folder: Path) -> None:
    with pytest.raises(UserError, match=f"fid, kid, inception_score cannot be computed: {MISSING}"):
        evaluate_dataset(evaluation_configuration(folder), "cpu", require_all=True)
    assert not (folder / "evaluation_results").exists()


def test_what_the_configuration_leaves_out_is_not_required(
    folder: Path, monkeypatch: pytest.MonkeyPatch, perceptual_network: PerceptualNetwork
) -> None:
    monkeypatch.setattr(networks, "load_similarity_network", lambda: perceptual_network)
    monkeypatch.setattr(networks, "load_lpips_network", _DarkerBy)
    monkeypatch.setattr(networks, "load_inception", Brightness)
    config = evaluation_configuration(folder, "evaluation.movement=none", "data.ground_truth_available=false")
    results = evaluate_dataset(config, "cpu", require_all=True)
    assert number(results, "lpips/0") == 0
    assert 0.1 < number(results, "lpips/1") < ERROR / 255
    assert number(results, "vgg_cosine_similarity/0") == pytest.approx(1, abs=1e-4)
    assert number(results, "fid") > 0
    assert results.values["actions/hungarian_accuracy"] is None
    assert results.reasons["action_variance"] == "evaluation.movement is none"
    assert results.reasons["actions"] == "data.ground_truth_available is false"


def test_a_number_that_is_none_does_not_hide_in_an_average(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoNumber(nn.Module):
        def forward(self, reference: Tensor, generated: Tensor, *, normalize: bool) -> Tensor:
            values = (reference - generated).abs().mean(dim=(1, 2, 3)) * normalize
            values[-1] = torch.nan
            return values

    monkeypatch.setattr(networks, "load_lpips_network", NoNumber)
    with pytest.raises(UserError, match="lpips of the sequence '00000, from frame 1' is not finite"):
        evaluated(folder)
    assert not (folder / "evaluation_results").exists()


class _DarkerBy(nn.Module):
    """Stands for LPIPS: how much darker the second frame is."""

    def forward(self, reference: Tensor, generated: Tensor, *, normalize: bool) -> Tensor:
        assert normalize
        return (reference - generated).mean(dim=(1, 2, 3), keepdim=True)


def test_annotated_positions_are_of_true_frames_alone(folder: Path) -> None:
    results = evaluated(folder, "evaluation.movement=bair")
    assert "generated frames lack" in results.reasons["detection"]
    assert results.values["detection/center_distance/global"] is None


def pictures_in_report(folder: Path) -> int:
    evaluated(folder)
    return (folder / "evaluation_results/square/report.html").read_text().count("<img")


def test_demonstrations_are_shown(folder: Path) -> None:
    without = pictures_in_report(folder)
    frames = np.random.default_rng(0).integers(0, 255, (2, 5, 32, 32, 3), np.uint8)
    for start in range(2):
        write_video(folder / "generated/actions/2" / f"{start:05d}", frames[start])
    np.testing.assert_array_equal(read_demonstrations(folder / "generated/actions/2"), frames)
    assert pictures_in_report(folder) == without + 2  # an animation and a strip


def test_frame_comparison_averages_over_all_frames_and_resamples_sequences() -> None:
    reference = torch.zeros(3, 2, 3, 16, 16)
    generated = reference.clone()
    generated[:, 1] = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1, 1)
    comparison = FrameComparison({"mse": mse}, 3, 2)
    comparison.add(batch_of(reference[:2], generated[:2]))
    comparison.add(batch_of(reference[2:], generated[2:]))
    results = comparison.results()
    errors = np.array([[0, 0.01], [0, 0.04], [0, 0.09]])
    expected = {
        "avg": errors.mean(),
        "var": errors.var(),
        "avg_generated": errors[:, 1].mean(),
        "0": 0,
        "1": errors[:, 1].mean(),
    }
    assert {name: pytest.approx(value, abs=1e-7) for name, value in expected.items()} == {
        name.removeprefix("mse/"): value for name, value in results.values.items()
    }
    assert results.intervals["mse/1"] == pytest.approx([0.01, 0.09], abs=1e-6)
    assert results.samples == {"mse": 6}


def test_set_comparison_of_equal_and_of_different_sets() -> None:
    frames = torch.rand(6, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    inception: InceptionNetwork = Brightness()  # type: ignore[assignment]
    equal, different = SetComparison(inception, None), SetComparison(inception, None)
    for batch in frames.split(4):
        equal.add(batch_of(batch, batch))
        different.add(batch_of(batch, 0.1 * batch))
    found = equal.results()
    assert number(found, "fid") == pytest.approx(0, abs=1e-6)
    assert found.samples["fid"] == found.samples["kid"] == 12
    assert "12 samples are too few" in found.warnings[0]
    darker = different.results()
    means = frames.double().mean(dim=(0, 1, 3, 4))
    assert number(darker, "fid") > float((0.9 * means).square().sum())
    assert number(darker, "kid/mean") > number(found, "kid/mean")
    assert number(darker, "inception_score/mean") == pytest.approx(1)
    assert "fvd" not in darker.values


def test_a_set_of_one_sequence_has_no_distance() -> None:
    class Logits(nn.Module):
        def forward(self, sequences: Tensor) -> Tensor:
            return sequences.mean(dim=(1, 2, 3, 4)).unsqueeze(1).expand(-1, 400)

    comparison = SetComparison(None, Logits())  # type: ignore[arg-type]
    comparison.add(batch_of(torch.rand(1, 10, 3, 8, 8), torch.rand(1, 10, 3, 8, 8)))
    results = comparison.results()
    assert results.values == {"fvd": None}
    assert results.reasons == {"fvd": "it takes two samples at least"}


class _Everywhere:
    """A tracker that finds the thing where the metadata say, in true frames."""

    unit = "steps"
    rule = "where it is"
    sees_frames = True

    def positions(self, _frames: np.ndarray, metadata: Sequence[Sequence[dict[str, Any]]], /) -> np.ndarray:
        return np.array([[[frame.get("x", np.nan)] for frame in frames] for frames in metadata])


def test_action_comparison_pairs_true_movements_with_inferred_actions() -> None:
    comparison = ActionComparison(2, _Everywhere(), knows_actions=True)
    frames = np.zeros((2, 3, 16, 16, 3), np.uint8)
    true_x = [[{"x": 0.0}, {"x": 2.0}, {"x": 1.0}], [{"x": 5.0}, {}, {"x": 4.0}]]
    made_x = [[{"x": 0.0}, {"x": 3.0}, {}], [{"x": 5.0}, {"x": 5.0}, {"x": 4.0}]]
    inferred, true = np.array([[1, 0], [0, 0]]), np.array([[7, 3], [3, 7]])
    pairs = Pairs(["a", "b"], frames, frames, true_x, made_x, inferred, true)
    comparison.add(PairBatch.of(pairs, torch.device("cpu")))
    movements, actions, sequences = comparison.movements()
    assert movements.tolist() == [[2], [-1]]
    assert actions.tolist() == [1, 0]
    assert sequences.tolist() == [0, 0]
    assert comparison.usage.tolist() == [3, 1]
    assert comparison.confusion.tolist() == [[2, 1], [0, 1]]
    assert comparison.true_actions == [3, 7]
    values = comparison.results().values
    assert values["actions/hungarian_accuracy"] == 0.75
    assert values["detection/missed_detections/global"] == 1
    assert values["detection/center_distance/global"] == pytest.approx(0.25)
    assert values["action_variance/mean_vector/1"] == [2]


def test_pairs_are_opened_before_networks_are_loaded(folder: Path) -> None:
    config = evaluation_configuration(folder, f"generated_data.data_root={folder}/nothing")
    with pytest.raises(UserError, match="nothing: no such folder"):
        SequencePairs(config)

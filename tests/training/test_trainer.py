"""Training runs on the synthetic data set: exactness, saving, reporting and health."""

import json
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from model.perceptual import PerceptualNetwork
from tests.synthetic import SIDE, square_configuration, write_square_videos
from tests.training.test_state import assert_equal
from training import run
from training.objective import Loss, Objective
from training.trainer import Trainer
from training.validation import EvaluationResult, Evaluator
from utils.checkpoint import CheckpointError, load_checkpoint
from utils.command import UserError
from utils.images import VISIBLE_SIDE
from utils.logger import RunLogger

pytestmark = pytest.mark.usefixtures("_without_plots")


def train(folder: Path, *overrides: str, name: str = "square") -> int:
    return run.train(square_configuration(folder, f"logging.run_name={name}", *overrides), "cpu")


def checkpoint(folder: Path, name: str = "square", file: str = "latest") -> dict[str, Any]:
    return load_checkpoint(folder / "checkpoints" / name / f"{file}.pth.tar")


def learned(folder: Path, name: str = "square", file: str = "latest") -> dict[str, Any]:
    """What two runs of different names share if they did the same."""
    contents = checkpoint(folder, name, file)
    del contents["config"]
    return contents


def metrics(folder: Path, name: str = "square") -> list[dict[str, Any]]:
    lines = (folder / "results" / name / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def at_step(step: int, function: Callable[[Trainer], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Call a function in the middle of a training step."""
    original = Trainer._train_step

    def train_step(trainer: Trainer, *arguments: Any) -> Any:
        if trainer.state.step + 1 == step:
            function(trainer)
        return original(trainer, *arguments)

    monkeypatch.setattr(Trainer, "_train_step", train_step)


# Exactness


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_run_is_the_same_as_an_uninterrupted_one(square: Path, num_workers: int) -> None:
    """Across the pretraining phase, growing sequences and the schedules of temperature and true observations."""
    train(square, name="whole")
    workers = f"training.batching.num_workers={num_workers}"
    for max_steps in (2, 6, 12):
        assert train(square, f"training.max_steps={max_steps}", workers, name="parts") == 0
    assert_equal(learned(square, "parts"), learned(square, "whole"))
    lengths = [line["train/observations_count"] for line in metrics(square, "parts") if "train/loss" in line]
    assert (lengths[0], lengths[-1]) == (2, 3)


def test_evaluations_leave_training_alone(square: Path) -> None:
    train(square, "evaluation.eval_freq=2", "training.max_steps=6", name="often")
    train(square, "evaluation.eval_freq=1000", "training.max_steps=6", name="never")
    assert_equal(learned(square, "often"), learned(square, "never"))


def test_seeds_differ(square: Path) -> None:
    for seed in (0, 1):
        train(square, "training.max_steps=2", f"training.seed={seed}", name=f"seed{seed}")
    first, second = (checkpoint(square, f"seed{seed}")["model"] for seed in (0, 1))
    assert not torch.equal(
        first["centroid_estimator.estimated_centroids"], second["centroid_estimator.estimated_centroids"]
    )


def test_more_sequences_in_a_batch_than_videos(square: Path) -> None:
    assert train(square, "training.max_steps=2", "training.batching.batch_size=50") == 0


@pytest.mark.parametrize(
    "overrides",
    [
        ("training.trainer=training.trainer",),
        ("training.use_motion_weights=true",),
        ("training.use_ground_truth_actions=true",),
        ("model.action_network.ensamble_size=3",),
        ("training.batching.observation_stacking=2", "evaluation.batching.observation_stacking=2"),
        ("model.action_network.use_gumbel=false", "data.cache=memory"),
    ],
)
def test_variants_resume_exactly(square: Path, overrides: tuple[str, ...]) -> None:
    train(square, "training.max_steps=6", *overrides, name="whole")
    for max_steps in (4, 6):
        train(square, f"training.max_steps={max_steps}", *overrides, name="parts")
    assert_equal(learned(square, "parts"), learned(square, "whole"))


def test_the_perceptual_loss_trains_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class SmallPerceptualNetwork(PerceptualNetwork):
        weight: Tensor

        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            generator = torch.Generator().manual_seed(0)
            self.register_buffer("weight", torch.randn(5, 3, 3, 3, generator=generator))

        def forward(self, frames: Tensor) -> list[Tensor]:
            features = torch.nn.functional.conv2d(frames, self.weight, padding=1).relu()
            return [torch.nn.functional.avg_pool2d(features, 2**level) for level in range(5)]

    monkeypatch.setattr(run, "load_perceptual_network", SmallPerceptualNetwork)
    write_square_videos(tmp_path / "data", side=64)
    overrides = (
        "data.crop=[0, 0, 64, 64]",
        "model.representation_network.target_input_size=[64, 64]",
        "model.representation_network.state_resolution=[8, 8]",
        "training.loss_weights.perceptual_loss_lambda=1",
        "training.pretraining_steps=2",
        "logging.log_freq=1",
    )
    train(tmp_path, "training.max_steps=4", *overrides, name="whole")
    for max_steps in (1, 4):
        train(tmp_path, f"training.max_steps={max_steps}", *overrides, name="parts")
    assert_equal(learned(tmp_path, "parts"), learned(tmp_path, "whole"))
    *lines, evaluation = metrics(tmp_path, "whole")
    assert ["train/perceptual" in line for line in lines] == [False, False, True, True]
    assert evaluation["eval/perceptual"] > 0


# Saving


def test_checkpoints_are_saved_when_they_are_due(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = []
    monkeypatch.setattr(
        "training.trainer.save_checkpoint", lambda path, contents: saved.append((path.name, contents["step"]))
    )
    train(square, "training.max_steps=10", "evaluation.eval_freq=3", "training.save_freq=4")
    assert saved == [
        ("latest.pth.tar", 3),
        ("checkpoint_4.pth.tar", 4),
        ("latest.pth.tar", 4),
        ("latest.pth.tar", 6),
        ("checkpoint_8.pth.tar", 8),
        ("latest.pth.tar", 8),
        ("latest.pth.tar", 9),
        ("latest.pth.tar", 10),
    ]


def test_a_numbered_checkpoint_can_take_the_place_of_the_latest(square: Path) -> None:
    train(square, "training.save_freq=5", name="whole")
    latest = square / "checkpoints" / "whole" / "latest.pth.tar"
    expected = learned(square, "whole")
    latest.unlink()
    with pytest.raises(CheckpointError, match=r"the newest intact checkpoint is .*/checkpoint_10.pth.tar: copy it to"):
        train(square, name="whole")
    (square / "checkpoints" / "whole" / "checkpoint_10.pth.tar").rename(latest)
    train(square, name="whole")
    assert_equal(learned(square, "whole"), expected)


def test_a_checkpoint_holds_the_configuration_in_force(square: Path) -> None:
    train(square, "training.max_steps=2", "training.learning_rate=1e-3")
    in_force = (
        "training.max_steps=2",
        "training.learning_rate=1e-3",
        "training.precision=tf32",
        "training.compile=false",
    )
    assert checkpoint(square)["config"] == square_configuration(square, *in_force).model_dump(mode="json")


def test_a_complete_run_changes_nothing(square: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def files() -> dict[Path, tuple[int, bytes]]:
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in square.rglob("*") if path.is_file()}

    train(square, "training.max_steps=2")
    square_configuration(square)
    before = files()
    capsys.readouterr()
    assert train(square, "training.max_steps=2") == 0
    assert "training is complete, 2 of 2 steps" in capsys.readouterr().out
    assert {path: file for path, file in files().items() if path.suffix != ".yaml"} == {
        path: file for path, file in before.items() if path.suffix != ".yaml"
    }


def test_a_last_evaluation_that_was_cut_short_is_done_again(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "evaluate", fail)
        with pytest.raises(KeyboardInterrupt):
            train(square, "training.max_steps=2")
    before = learned(square)
    assert train(square, "training.max_steps=2") == 0
    assert metrics(square)[-1]["step"] == 2
    assert "eval/reconstruction" in metrics(square)[-1]
    assert_equal(learned(square), before)


def test_what_changed_since_the_checkpoint_is_told(square: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(square, "training.max_steps=2")
    write_square_videos(square / "data", {"train": 6})
    capsys.readouterr()
    train(square, "training.max_steps=4", "training.batching.batch_size=3")
    told = capsys.readouterr().out
    assert "continuing square after step 2 of 4" in told
    assert "changed configuration: training.max_steps: 2 -> 4, training.batching.batch_size: 2 -> 3\n" in told
    assert "continuing with other data" in told
    assert "'num_videos': 4" in told


# Signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_training_after_saving_the_present_step(
    square: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    before = signal.getsignal(number)
    at_step(5, lambda _: signal.raise_signal(number), monkeypatch)
    assert train(square) == code
    assert signal.getsignal(number) is before
    monkeypatch.undo()
    train(square, "training.max_steps=5", name="whole")
    assert_equal(learned(square), learned(square, "whole"))
    assert [line["step"] for line in metrics(square)] == [5]


def test_a_second_signal_ends_it_at_once(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt_twice(_trainer: Trainer) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    at_step(8, interrupt_twice, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(square)
    assert checkpoint(square)["step"] == 6


def test_a_signal_during_the_last_step_does_not_make_it_unfinished(
    square: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(3, lambda _: signal.raise_signal(signal.SIGINT), monkeypatch)
    assert train(square, "training.max_steps=3") == 0


# Reporting


def test_every_line_of_the_metrics_has_its_step_and_scalars(square: Path) -> None:
    train(square, "logging.log_freq=3")
    train(square, "logging.log_freq=3", "training.max_steps=13")
    lines = metrics(square)
    kinds = [(line["step"], "eval" if "eval/reconstruction" in line else "train") for line in lines]
    assert kinds == [
        (3, "train"), (6, "train"), (6, "eval"), (9, "train"), (12, "train"), (12, "eval"), (13, "train"), (13, "eval"),
    ]  # fmt: skip
    for line in lines:
        assert all(math.isfinite(value) for value in line.values())
    first = lines[0]
    assert {"train/loss", "train/reconstruction", "train/hidden_states", "train/learning_rate"} <= first.keys()
    assert "train/hidden_states" not in lines[1]
    assert first["train/gumbel_temperature"] == pytest.approx(1 - 0.6 * 3 / 20000)


def test_reports_are_means_over_the_steps_since_the_last(square: Path) -> None:
    """Across the end of pretraining, where the terms change."""
    overrides = ("training.max_steps=5", "training.pretraining_steps=2")
    train(square, *overrides, "logging.log_freq=1", name="each")
    train(square, *overrides, "logging.log_freq=5", name="mean")
    each = metrics(square, "each")[:-1]
    mean, _ = metrics(square, "mean")
    for name, steps in (("loss", range(5)), ("states", range(5)), ("hidden_states", range(2))):
        values = [each[step][f"train/{name}"] for step in steps]
        assert mean[f"train/{name}"] == pytest.approx(sum(values) / len(values))


def test_scalars_leave_the_device_once_per_report(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    num_reads = 0

    def counting(method: Callable[..., Any]) -> Callable[..., Any]:
        def read(*arguments: Any, **keywords: Any) -> Any:
            nonlocal num_reads
            num_reads += 1
            return method(*arguments, **keywords)

        return read

    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__", "nonzero"):
        monkeypatch.setattr(Tensor, name, counting(getattr(Tensor, name)))
    counts = []
    for max_steps in (2, 8):
        num_reads = 0
        overrides = (f"training.max_steps={max_steps}", "logging.log_freq=2", "evaluation.eval_freq=1000")
        train(square, *overrides, name=f"steps{max_steps}")
        counts.append(num_reads)
    assert counts[1] - counts[0] == 3


def test_images_are_written(square: Path) -> None:
    train(square, "training.max_steps=4", "evaluation.eval_freq=2", "training.action_direction_plotting_freq=3")
    images = sorted(path.name for path in (square / "results" / "square" / "images").iterdir())
    evaluation = ["action_usage", "actions", "attention", "held_actions", "losses", "motion_weights"]
    evaluation += [f"reconstruction_{resolution}" for resolution in ("full", "half", "quarter")]
    expected = [f"{name}_{step:08d}.png" for name in evaluation for step in (2, 4)] + ["training_actions_00000003.png"]
    assert images == sorted(expected)
    with Image.open(square / "results" / "square" / "images" / "reconstruction_quarter_00000004.png") as image:
        assert image.width > 3 * SIDE
    animations = sorted((square / "results" / "square" / "animations").iterdir())
    assert [path.name for path in animations] == [f"reconstruction_{step:08d}.gif" for step in (2, 4)]
    with Image.open(animations[-1]) as animation:
        assert len(list(ImageSequence.Iterator(animation))) == 4
        assert animation.size == (2 * VISIBLE_SIDE + 2, 2 * VISIBLE_SIDE + 2)


# Health


def spoiling(step: int, spoil: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loss of one step become something else."""
    original = Objective.forward
    num_calls = 0

    def forward(*arguments: Any) -> Loss:
        nonlocal num_calls
        num_calls += 1
        loss = original(*arguments)
        if num_calls != step:
            return loss
        total = spoil(loss.total)
        states = torch.full_like(loss.terms["states"], float(total.detach()))
        return Loss(total, loss.terms | {"loss": total.detach(), "states": states})

    monkeypatch.setattr(Objective, "forward", forward)


@pytest.mark.parametrize(("step", "value"), [(6, torch.nan), (8, torch.inf), (12, torch.nan)])
def test_a_loss_that_is_not_finite_ends_training_and_keeps_the_last_good_checkpoint(
    square: Path, monkeypatch: pytest.MonkeyPatch, step: int, value: float
) -> None:
    spoiling(step, lambda total: total * value, monkeypatch)
    with pytest.raises(UserError, match=rf"the loss of step {step} is not finite \(terms: loss, states\)"):
        train(square, "training.save_freq=3")
    monkeypatch.undo()
    last_good = (step - 1) // 3 * 3
    assert checkpoint(square)["step"] == last_good
    train(square, f"training.max_steps={last_good}", name="whole")
    assert_equal(learned(square), learned(square, "whole"))


def test_a_signal_does_not_save_what_is_not_finite(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiling(8, lambda total: total * torch.nan, monkeypatch)
    at_step(9, lambda _: signal.raise_signal(signal.SIGTERM), monkeypatch)
    with pytest.raises(UserError, match="the loss of step 8 is not finite"):
        train(square)
    assert checkpoint(square)["step"] == 6


def test_a_finite_loss_with_an_infinite_gradient_is_not_saved(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiling(12, lambda total: total + (total - total).sqrt(), monkeypatch)
    with pytest.raises(UserError, match=r"weights are not finite after step 12 \(.*nothing of this was saved"):
        train(square)
    assert checkpoint(square)["step"] == 6


def with_scalars(changes: dict[int, dict[str, float]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Change the scalars of some evaluations, numbered from 1."""
    original = Evaluator.evaluate
    num_calls = 0

    def evaluate(*arguments: Any) -> EvaluationResult:
        nonlocal num_calls
        num_calls += 1
        evaluation = original(*arguments)
        healthy = {
            "eval/actions_used": 3.0,
            "eval/action_effect": 1.0,
            "eval/action_accuracy": 1.0,
            "eval/action_effect_unmoved": 0.0,
            "eval/actions_moving": 0.0,
            "eval/action_effect_outside": 0.0,
        }
        return EvaluationResult(evaluation.scalars | healthy | changes.get(num_calls, {}), evaluation.images)

    monkeypatch.setattr(Evaluator, "evaluate", evaluate)


@pytest.mark.parametrize(
    ("symptom", "name", "advice"),
    [
        ({"eval/actions_used": 1.0}, "actions_collapsed", "fewer than two actions are used: raise"),
        ({"eval/action_effect": 0.01}, "actions_ineffective", "frames do not change with the action: train longer"),
        ({"eval/action_effect_outside": 0.9}, "actions_outside", "most of what the actions change lies outside"),
        ({"eval/action_effect_unmoved": 0.9}, "actions_unmoving", "what the actions change appears or vanishes"),
        (
            {"eval/action_accuracy": 0.7, "eval/movement_accuracy": 0.9},
            "actions_confused",
            "the discovered actions are often not the true ones, though these can be seen: train longer",
        ),
    ],
)
def test_a_collapse_seen_twice_in_a_row_is_told_and_logged(
    square: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    symptom: dict[str, float],
    name: str,
    advice: str,
) -> None:
    with_scalars({number: symptom for number in (1, 2, 4, 6, 7, 8)}, monkeypatch)
    train(square, "training.max_steps=9", "training.pretraining_steps=2", "evaluation.eval_freq=1")
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 2
    assert all(line.startswith(f"warning: {advice}") for line in warnings)
    evaluations = [line for line in metrics(square) if "eval/actions_used" in line]
    assert [line.get(f"health/{name}") for line in evaluations] == [
        None, None, False, False, False, False, True, True, False,
    ]  # fmt: skip


def test_actions_that_surely_move_things_are_not_said_to_move_nothing(
    square: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    symptom = {"eval/action_effect_unmoved": 0.9, "eval/actions_moving": 2.0}
    with_scalars(dict.fromkeys((1, 2, 3), symptom), monkeypatch)
    train(square, "training.max_steps=3", "training.pretraining_steps=0", "evaluation.eval_freq=1")
    assert "appears or vanishes" not in capsys.readouterr().out


# Data


@pytest.mark.parametrize(("num_workers", "log_freq"), [(0, 1), (2, 10)])
def test_a_frame_that_cannot_be_read_ends_training_with_what_was_learned_saved(
    square: Path, num_workers: int, log_freq: int
) -> None:
    frame = square / "data" / "train" / "00003" / "00009.png"
    intact = frame.read_bytes()
    frame.write_bytes(intact[:40])
    workers = f"training.batching.num_workers={num_workers}"
    with pytest.raises(UserError, match=f"{frame}: the frame cannot be used"):
        train(square, workers, "evaluation.eval_freq=1000", f"logging.log_freq={log_freq}")
    assert 0 < checkpoint(square)["step"] < 12
    frame.write_bytes(intact)
    train(square, workers)
    train(square, name="whole")
    assert_equal(learned(square), learned(square, "whole"))


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "cpu has too little memory: lower batch_size"),
        (MemoryError(), "cpu has too little memory: lower batch_size"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error."), "Bus error.*lower num_workers"),
    ],
)
def test_too_little_memory_is_told(
    square: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, remedy: str
) -> None:
    def run_out(_trainer: Trainer) -> None:
        raise error

    at_step(2, run_out, monkeypatch)
    with pytest.raises(UserError, match=remedy):
        train(square)


@pytest.fixture(autouse=True)
def _closed_loggers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """See that every run closes its logger, however it ends."""
    opened: list[RunLogger] = []
    original = RunLogger.__init__

    def note(logger: RunLogger, *arguments: Any) -> None:
        original(logger, *arguments)
        opened.append(logger)

    monkeypatch.setattr(RunLogger, "__init__", note)
    yield
    assert all(logger._metrics.closed for logger in opened)

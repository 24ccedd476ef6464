"""Several processes compute what one computes with the whole batch."""

import itertools
import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from dataset.batching import TrainingSampler, make_loader
from dataset.open import open_split
from model.build import build_model
from model.layers.batch_norm import synchronize_batch_norms
from tests.configurations import SEEING
from tests.processes import PythonProcess
from tests.rank_processes import run_in_ranks, start_ranks, torchrun
from tests.synthetic import write_configuration
from tests.training.test_state import assert_equal
from training.objective import Objective
from training.step import Phase, TrainingStep
from utils import ranks
from utils.checkpoint import load_checkpoint
from utils.configuration import load_configuration
from utils.distributed import with_shared_gradients

DYING = """
import os, signal
import train
from training.trainer import Trainer
from utils.command import run_command

after_step = Trainer._after_step

def die(trainer, *arguments):
    after_step(trainer, *arguments)
    if (trainer.state.step, os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]) == (8, "1", "0"):
        os.kill(os.getpid(), signal.SIGKILL)

Trainer._after_step = die
run_command(train.main)
"""
"""`train.py` whose rank 1 is killed after step 8, but not when it is started again."""

OVERRIDES = (
    "training.sync_batchnorm=true",
    "training.batching.batch_size=6",
    "training.use_motion_weights=true",
    "training.loss_weights.action_directions_motion_lambda=0.1",
    "training.loss_weights.action_directions_motion_lambda_pretraining=0.1",
    "training.loss_weights.action_state_distribution_kl_lambda=0.01",
    "model.dynamics_network.first_steps_statistics=1",
    "model.action_network.ensamble_size=2",
)


def save_step(folder: Path, pretraining: bool, overrides: tuple[str, ...]) -> None:
    """Save what the main rank has after one step in float64: terms, gradients, centroids and running statistics."""
    torch.manual_seed(0)
    config = load_configuration(folder / "square.yaml", [*OVERRIDES, *overrides])
    model = build_model(config).double().train()
    synchronize_batch_norms(model)
    step = TrainingStep(model, Objective(config).double())
    shared = with_shared_gradients(step, torch.device("cpu"))
    dataset = open_split(config, "train", config.training.batching)
    sampler = TrainingSampler(dataset, 6, lambda _: 3, seed=0, rank=ranks.rank(), num_ranks=ranks.num_ranks())
    (batch,) = itertools.islice(make_loader(dataset, sampler), 1)
    result = shared(batch.observations().double(), Phase(pretraining, 1, 0.7))
    result.loss.total.backward()
    terms = {name: ranks.mean(term) for name, term in result.loss.terms.items()}
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    if ranks.is_main():
        buffers = {**dict(model.named_buffers()), **dict(step.objective.named_buffers())}
        torch.save({"terms": terms, "gradients": gradients, "buffers": buffers}, folder / f"{ranks.num_ranks()}.pt")


@pytest.mark.parametrize(
    ("pretraining", "overrides", "numbers"),
    [(False, (), (2, 3)), (True, (), (2, 3)), (False, SEEING, (2,)), (True, SEEING, (2,))],
    ids=["full", "pretraining", "seeing, full", "seeing, pretraining"],
)
def test_ranks_compute_the_losses_gradients_and_centroids_of_one_process(
    square: Path, pretraining: bool, overrides: tuple[str, ...], numbers: tuple[int, ...]
) -> None:
    save_step(square, pretraining, overrides)
    alone = torch.load(square / "1.pt")
    for num_ranks in numbers:
        run_in_ranks(num_ranks, save_step, square, pretraining, overrides)
        together = torch.load(square / f"{num_ranks}.pt")
        for kind, expected in alone.items():
            found = {name: value for name, value in together[kind].items() if name in expected or value.any()}
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12, msg=f"{kind} {name}")


def train_in_ranks(folder: Path, num_ranks: int, *overrides: str) -> list[PythonProcess]:
    arguments = ["--config", str(folder / "square.yaml"), "--device", "cpu"]
    arguments += [part for override in overrides for part in ("--set", override)]
    return start_ranks(folder, num_ranks, "train.py", *arguments)


def learned(folder: Path, name: str) -> dict[str, Any]:
    contents = load_checkpoint(folder / "checkpoints" / name / "latest.pth.tar")
    del contents["config"]
    return contents


def metrics(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results" / name / "metrics.jsonl").read_text().splitlines()]


def test_a_run_of_two_ranks_is_that_of_one_and_continues_exactly(square: Path) -> None:
    """Alone, together, and together in two parts of which the first is stopped by a signal to one rank."""
    common = ("training.sync_batchnorm=true", "evaluation.max_evaluation_batches=3", "logging.log_freq=1")
    for name, num_ranks in (("alone", 1), ("together", 2)):
        processes = train_in_ranks(square, num_ranks, *common, f"logging.run_name={name}")
        assert [process.wait() for process in processes] == [0] * num_ranks, processes[-1].stderr
    assert processes[1].stdout == ""
    for alone, together in zip(metrics(square, "alone"), metrics(square, "together"), strict=True):
        assert together.keys() == alone.keys()
        is_first = alone["step"] == 1  # from then on Adam turns the rounding errors of tiny gradients into steps
        compared = alone if is_first else alone.keys() & {"step", "train/loss", "eval/reconstruction"}
        tolerance = 1e-3 if is_first else 5e-2
        assert [together[name] for name in compared] == pytest.approx([alone[name] for name in compared], rel=tolerance)

    processes = train_in_ranks(square, 2, *common, "logging.run_name=parts")
    progress = square / "results/parts/metrics.jsonl"
    processes[1].wait_until(lambda: progress.exists() and progress.read_text())
    processes[1].send(signal.SIGTERM)
    assert {process.wait() for process in processes} <= {0, 143}
    processes = train_in_ranks(square, 2, *common, "logging.run_name=parts")
    assert [process.wait() for process in processes] == [0, 0], processes[0].stderr
    assert_equal(learned(square, "parts"), learned(square, "together"))


def test_a_batch_that_cannot_be_shared_equally_is_refused(square: Path) -> None:
    processes = train_in_ranks(square, 2, "training.batching.batch_size=3")
    assert [process.wait() for process in processes] == [2, 2]
    refusal = (
        "error: training.batching.batch_size: 3 sequences cannot be shared by 2 ranks equally; choose a multiple\n"
    )
    assert processes[0].stderr == refusal
    assert not (square / "checkpoints").exists()


def test_a_rank_that_dies_is_named_and_the_job_goes_on_from_the_checkpoint(square: Path) -> None:
    write_configuration(square)
    dying = square / "dying.py"
    dying.write_text(DYING)
    outcome = torchrun(2, dying, "--config", str(square / "square.yaml"), "--device", "cpu", max_restarts=1)
    assert outcome.returncode == 0, outcome.stderr
    assert re.search(r"exitcode: -9\b.*local_rank: 1\b|local_rank: 1\b.*exitcode: -9\b", outcome.stderr, re.DOTALL)
    assert "continuing square after step 6 of 12" in outcome.stdout
    assert learned(square, "square")["step"] == 12

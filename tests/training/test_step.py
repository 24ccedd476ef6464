"""A training step with each way of computing it: the same losses, gradients and buffers."""

import re
import shutil
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from model.build import build_model
from tests.configurations import MODELS, SEEING, small_configuration
from tests.training.test_objective import ToyPerceptualNetwork
from training.compilation import compile_networks, num_compiled_graphs
from training.objective import Objective
from training.step import Phase, StepResult, TrainingStep

BATCH, TIME = 2, 5
PHASES = {"full": Phase(False, 2, 0.7), "pretraining": Phase(True, 2, 0.7)}
PERCEPTUAL = (
    "training.loss_weights.perceptual_loss_lambda=0.5",
    "training.loss_weights.perceptual_loss_lambda_pretraining=0.5",
)


RECOMPUTED: dict[str, tuple[str, ...]] = {
    "published": (),
    "motion weights": ("training.use_motion_weights=true",),
    "seeing": SEEING,
}

ALIKE = ("model.dynamics_network.first_steps_statistics=0",)
"""All steps of a rollout are alike, and take fewer graphs."""


class Outcome:
    """What a step leaves behind: its result, the gradients and the buffers."""

    def __init__(self, step: TrainingStep, result: StepResult) -> None:
        self.loss = result.loss
        self.gradients = {
            name: weight.grad for name, weight in step.model.named_parameters() if weight.grad is not None
        }
        self.buffers = dict(step.named_buffers())


def build(*overrides: str, dtype: torch.dtype = torch.float32) -> TrainingStep:
    torch.manual_seed(0)
    config = small_configuration(*PERCEPTUAL, "model.dynamics_network.first_steps_statistics=1", *overrides)
    return TrainingStep(build_model(config), Objective(config, ToyPerceptualNetwork())).to(dtype).train()


def take(step: TrainingStep, phase: Phase) -> Outcome:
    torch.manual_seed(1)
    observations = (
        torch.rand(BATCH, TIME, 3 * step.model.stack_shape[0], 16, 32, dtype=next(step.parameters()).dtype) * 2 - 1
    )
    result = step(observations, phase)
    result.loss.total.backward()
    return Outcome(step, result)


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.parametrize("options", RECOMPUTED.values(), ids=RECOMPUTED)
@pytest.mark.parametrize("phase", PHASES.values(), ids=PHASES)
def test_activation_checkpointing_changes_nothing(phase: Phase, options: tuple[str, ...]) -> None:
    plain = take(build(*options, dtype=torch.float64), phase)
    saving = take(build(*options, "training.activation_checkpointing=true", dtype=torch.float64), phase)
    assert_close(saving.loss.terms, plain.loss.terms, 1e-12)
    assert_close(saving.gradients, plain.gradients, 1e-12)
    assert_close(saving.buffers, plain.buffers, 1e-12)


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("phase", PHASES.values(), ids=PHASES)
def test_bfloat16_is_near_and_keeps_what_decides_in_float32(phase: Phase, options: tuple[str, ...]) -> None:
    full, half = (take(build(*options, f"training.precision={name}"), phase) for name in ("fp32", "bf16"))
    exact = {"reconstruction", "perceptual"} if options else set()  # a new seeing renderer keeps the frames it sees
    for name in full.loss.terms.keys() & {"loss", "reconstruction", "cross_entropy", "perceptual", "states"}:
        assert (half.loss.terms[name] == full.loss.terms[name]) == (name in exact)
        torch.testing.assert_close(half.loss.terms[name], full.loss.terms[name], rtol=3e-2, atol=1e-3)
    for name in full.gradients:
        if re.search(
            r"(final_blocks.*|head\.)weight", name
        ):  # those behind tiny batches' normalisations are ill-conditioned
            similarity = torch.cosine_similarity(half.gradients[name].flatten(), full.gradients[name].flatten(), dim=0)
            assert similarity > 0.8, name
    for tensor in (*half.loss.terms.values(), *half.gradients.values(), *half.buffers.values()):
        assert tensor.dtype in (torch.float32, torch.int64)


@pytest.fixture
def _fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler: sudo apt-get install g++")
@pytest.mark.usefixtures("_fresh_compiler")
def test_compiled_networks_compute_the_same_and_are_compiled_once_per_length() -> None:
    plain = take(build(*ALIKE), PHASES["full"])
    step = build(*ALIKE)
    names = list(step.state_dict())
    before = num_compiled_graphs()
    compile_networks(step.model, step.objective, torch.device("cpu"))
    compiled = take(step, PHASES["full"])
    num_graphs = num_compiled_graphs() - before
    assert num_graphs == 4 + 3 * 2  # encoder of sequences and of one frame, dynamics, decoder; features at three sizes
    assert_close(compiled.loss.terms, plain.loss.terms, 1e-4)
    assert_close(compiled.gradients, plain.gradients, 1e-3)
    take(step, PHASES["full"])
    assert num_compiled_graphs() - before == num_graphs
    assert list(step.state_dict()) == names

"""Training repeats itself and resumes on each kind of device: exactly on CPUs, up to the order of sums on CUDA."""

from pathlib import Path

import pytest
import torch

from model.build import build_model
from tests.configurations import small_configuration
from training.objective import Objective
from training.state import TrainingState
from training.step import Phase, TrainingStep
from utils.checkpoint import LATEST, save_checkpoint

TOLERANCE = {"cpu": 0.0, "cuda": 1e-3}
CONFIG = small_configuration("training.precision=fp32")
PHASE = Phase(False, 2, 1.0)


def new_state(device: torch.device, seed: int) -> TrainingState:
    torch.manual_seed(seed)
    return TrainingState(CONFIG, build_model(CONFIG).to(device).train(), Objective(CONFIG, None).to(device))


def losses(state: TrainingState, num_steps: int) -> list[float]:
    """Those of steps on the same observations."""
    step = TrainingStep(state.model, state.objective)
    observations = torch.linspace(-1, 1, 2 * 4 * 3 * 16 * 32, device=state.device).sin().view(2, 4, 3, 16, 32)
    found = []
    for _ in range(num_steps):
        loss = step(observations, PHASE).loss.total
        state.update(loss)
        found.append(loss.item())
    return found


def test_training_repeats_itself(device: torch.device) -> None:
    first, second = (losses(new_state(device, seed=0), 3) for _ in range(2))
    assert second == pytest.approx(first, rel=TOLERANCE[device.type], abs=0)
    assert losses(new_state(device, seed=1), 3) != pytest.approx(first, rel=TOLERANCE[device.type], abs=0)


def test_training_resumes(device: torch.device, tmp_path: Path) -> None:
    state = new_state(device, seed=0)
    losses(state, 2)
    save_checkpoint(tmp_path / LATEST, state.checkpoint())
    expected = losses(state, 2)
    resumed = new_state(device, seed=1)
    assert resumed.resume(tmp_path) is not None
    assert resumed.step == 2
    assert losses(resumed, 2) == pytest.approx(expected, rel=TOLERANCE[device.type], abs=0)

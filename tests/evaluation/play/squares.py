"""A square that three actions move left, hold, and move right around a ring, and good and bad models of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dataset.annotations import Annotations
from dataset.video import write_video
from model.action import Gaussian, InferredActions
from model.noise import Noise
from model.playable import ImaginedStep, PlayableModel, Rollout
from playing.simulator import Simulator
from tests.synthetic import SIDE, square_configuration
from utils.configuration import Configuration

STRIDE = 4
BACKGROUND, SQUARE = 40, (220, 90, 60)
ROWS = slice(12, 20)


def draw(x: int) -> np.ndarray:
    """A frame with the square's left edge at x, around the ring."""
    frame = np.full((SIDE, SIDE, 3), BACKGROUND, np.uint8)
    frame[ROWS, np.arange(x, x + 8) % SIDE] = SQUARE
    return frame


def write_videos(root: Path, **videos: int) -> None:
    """Write random walks of 21 frames: a number of them for each split, without annotations."""
    for split, count in videos.items():
        for video in range(count):
            random = np.random.default_rng([len(split), video])
            moves = random.integers(-1, 2, 20)
            positions = STRIDE * (random.integers(SIDE // STRIDE) + np.concatenate([[0], np.cumsum(moves)]))
            frames = [draw(int(x)) for x in positions]
            write_video(root / split / f"{video:05d}", frames, Annotations.unknown(len(frames)))


@dataclass(frozen=True)
class Faults:
    """What is wrong with a model."""

    is_deaf: bool = False
    """Whether the square stays, whatever the action."""
    is_blurred: bool = False
    """Whether each frame is an average over 5 x 5 pixels."""
    darkening: int = 0
    """How much darker each frame is than the one before, of 255."""


class SquareModel(PlayableModel):
    """Moves all pixels around the ring, which moves the square, and infers the move that fits best."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.faults = faults
        self.stack_shape = (1, SIDE, SIDE, 3)
        self.classifier = nn.Linear(1, 3)

    @property
    def centroids(self) -> Tensor:
        return self.classifier.weight.detach()

    def forward(self, *_: Any, **__: Any) -> Rollout:
        raise NotImplementedError

    def infer_actions(self, observations: Tensor, noise: Noise) -> InferredActions:  # noqa: ARG002
        before, after = observations[:, :-1], observations[:, 1:]
        moved = [before.roll(STRIDE * move, dims=-1) for move in (-1, 0, 1)]
        logits = torch.stack([-(after - guess).abs().mean(dim=(2, 3, 4)) for guess in moved], dim=-1)
        directions = logits[..., :1]
        gaussian = Gaussian(directions, torch.ones_like(directions))
        return InferredActions(gaussian, directions, gaussian, directions, logits)

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size)

    def prepare(self) -> None:
        return None

    def step(
        self,
        state: Tensor,
        observation: Tensor,
        action: Tensor,
        variation: Tensor,  # noqa: ARG002
        prepared: None = None,  # noqa: ARG002
    ) -> ImaginedStep:
        moves = [0 if self.faults.is_deaf else STRIDE * (int(chosen) - 1) for chosen in action.argmax(dim=1)]
        frame = torch.stack([game.roll(move, dims=-1) for game, move in zip(observation, moves, strict=True)])
        if self.faults.is_blurred:
            frame = functional.avg_pool2d(functional.pad(frame, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
        frame = (frame - self.faults.darkening / 127.5).clamp(-1, 1)
        return ImaginedStep(frame, frame, state)

    def compilable_networks(self) -> list[nn.Module]:
        return []


def simulator_with(faults: Faults) -> Simulator:
    """A simulator of the square."""
    return Simulator(SquareModel(faults))


def configuration(folder: Path) -> Configuration:
    """A configuration whose data are `folder / "data"`."""
    return square_configuration(folder, "data.ground_truth_available=false")

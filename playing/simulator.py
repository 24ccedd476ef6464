"""The trained model as a simulator: an action in, the next frame out.

Dimensions: B games side by side, S stacked frames in an observation, K actions, D action-space dimension, H x W pixels.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from model.build import build_model
from model.playable import PlayableModel, RecurrentState
from utils.checkpoint import LATEST, load_checkpoint, load_model_weights
from utils.command import UserError
from utils.configuration import Configuration
from utils.images import normalize, to_uint8


@dataclass(frozen=True)
class Moment:
    """The state of B games.

    It is immutable, so that one can keep it and return to it.
    """

    observation: Tensor  # (B, 3S, H, W) in [-1, 1], newest frame first
    state: RecurrentState

    @cached_property
    def frames(self) -> np.ndarray:
        """The newest frame of each game, uint8 (B, H, W, 3)."""
        return to_uint8(self.observation[:, :3]).movedim(1, -1).cpu().numpy()


class Simulator:
    """A trained model that generates the frames that follow from actions (docs/method.md#play)."""

    def __init__(self, model: PlayableModel) -> None:
        """Wrap a model with trained weights, on its final device; it is switched to evaluation mode."""
        self.model = model.eval().requires_grad_(False)
        self.centroids = model.centroids  # (K, D)
        self.actions_count, self.action_space_dimension = self.centroids.shape
        self.stack_shape = model.stack_shape
        """The shape (S, H, W, 3) of a starting stack."""
        self._prepared = model.prepare()

    @torch.inference_mode()
    def start(self, stacks: np.ndarray) -> Moment:
        """Return the moment before the first action.

        Args:
            stacks: uint8 (B, S, H, W, 3), the frames of the first observations, oldest first.
        """
        pixels = torch.from_numpy(stacks).to(self.centroids.device)
        observation = normalize(pixels.flip(1).movedim(-1, 2).flatten(1, 2))
        observation = observation.contiguous(memory_format=torch.channels_last)
        return Moment(observation, self.model.initial_state(len(stacks)))

    @torch.inference_mode()
    def step(self, moment: Moment, actions: np.ndarray, variations: np.ndarray | None = None) -> Moment:
        """Return the moment after actions are taken.

        Args:
            moment: the state of the games.
            actions: (B,) integers from 0 to K - 1.
            variations: (B, D) action variations; None for zeros.
        """
        device = self.centroids.device
        one_hot = functional.one_hot(torch.as_tensor(actions, device=device), self.actions_count).to(torch.float32)
        if variations is None:
            variations = np.zeros((len(actions), self.action_space_dimension))
        variation = torch.as_tensor(variations, dtype=torch.float32, device=device)
        imagined = self.model.step(moment.state, moment.observation, one_hot, variation, self._prepared)
        return Moment(imagined.observation, imagined.state)


def play_games(simulator: Simulator, stacks: np.ndarray, script: np.ndarray, shows_progress: bool = True) -> np.ndarray:
    """Play scripts of actions (G, T-1) from stacks of frames (G, S, H, W, 3), side by side.

    Returns:
        uint8 frames (G, T, H, W, 3), the starting frames first.
    """
    moment = simulator.start(stacks)
    frames = [moment.frames]
    for actions in tqdm(script.T, desc="playing", unit="frame", disable=None if shows_progress else True):
        moment = simulator.step(moment, actions)
        frames.append(moment.frames)
    return np.stack(frames, axis=1)


def load_simulator(
    config: Configuration, device: torch.device, path: Path | None = None
) -> tuple[Simulator, dict[str, Any]]:
    """Return the model of a checkpoint, ours or the authors', and the checkpoint: that at `path`, or the run's latest.

    Raises:
        UserError: there is no checkpoint.
        CheckpointError: it is incomplete, not a checkpoint, or of another model.
    """
    path = checkpoint_path(config, path)
    checkpoint = load_checkpoint(path)
    return build_simulator(config, checkpoint, path, device), checkpoint


def build_simulator(config: Configuration, checkpoint: dict[str, Any], path: Path, device: torch.device) -> Simulator:
    """Return the model of a checkpoint that was loaded from `path`.

    Raises:
        CheckpointError: the checkpoint is of another model.
    """
    model = build_model(config)
    load_model_weights(model, checkpoint["model"], path)
    return Simulator(model.to(device))


def checkpoint_path(config: Configuration, chosen: Path | None = None) -> Path:
    """Return the path of the checkpoint that was chosen, by default of the run's latest.

    Raises:
        UserError: none was chosen, and the run has none.
    """
    if chosen is not None:
        return chosen
    path = config.logging.save_directory / LATEST
    if not path.exists():
        raise UserError(f"{path}: no such checkpoint; train one with train.py, or put one there")
    return path


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

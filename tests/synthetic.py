"""A tiny data set and a tiny configuration: a coloured square that three actions move left, hold, and move right."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dataset.annotations import Annotations
from dataset.video import write_video
from utils.configuration import Configuration, load_configuration

SIDE = 32
SQUARE = 8
STRIDE = 4
"""Pixels that the square moves in a step."""

VIDEOS = {"train": 4, "val": 2}
VIDEO_LENGTH = 12


def write_square_videos(
    root: Path, videos: dict[str, int] | None = None, length: int = VIDEO_LENGTH, side: int = SIDE
) -> None:
    """Write a data set of a square's random walks, with true actions and positions; videos that exist are kept."""
    for number, (split, num_videos) in enumerate((videos or VIDEOS).items()):
        for video in range(num_videos):
            path = root / split / f"{video:05d}"
            if not path.exists():
                write_square_video(path, np.random.default_rng([number, video]), length, side)


def write_square_video(path: Path, random: np.random.Generator, length: int, side: int) -> None:
    """Write one random walk: actions 0, 1 and 2 move the square left, not at all, and right."""
    x, y = (int(random.integers(0, (side - SQUARE) // STRIDE + 1)) * STRIDE for _ in range(2))
    frames, actions, metadata = [], [], []
    for _ in range(length):
        frame = np.full((side, side, 3), 40, np.uint8)
        frame[y : y + SQUARE, x : x + SQUARE] = (220, 90, 60)
        possible = [action for action in range(3) if 0 <= x + STRIDE * (action - 1) <= side - SQUARE]
        action = int(random.choice(possible))
        frames.append(frame)
        actions.append(action)
        metadata.append({"agent_position": [x, y]})
        x += STRIDE * (action - 1)
    write_video(path, frames, Annotations(actions, [0.0] * length, metadata, [False] * length))


def configuration_values(folder: Path) -> dict[str, Any]:
    """A configuration whose steps take milliseconds; everything it reads and writes is in `folder`."""
    batching = {"batch_size": 2, "observations_count": 3}
    weights = {"perceptual_loss_lambda": 0, "perceptual_loss_lambda_pretraining": 0}
    return {
        "logging": {
            "run_name": "square",
            "output_root": str(folder / "results"),
            "save_root": str(folder / "checkpoints"),
            "trackers": [],
        },
        "data": {
            "data_root": str(folder / "data"),
            "crop": [0, 0, SIDE, SIDE],
            "actions_count": 3,
            "ground_truth_available": True,
        },
        "model": {
            "architecture": "model.reduced_model.model",
            "width_multiplier": 0.25,
            "representation_network": {
                "target_input_size": [SIDE, SIDE],
                "state_features": 8,
                "state_resolution": [SIDE // 8, SIDE // 8],
            },
            "dynamics_network": {"hidden_state_size": 8},
            "action_network": {"action_space_dimension": 2},
        },
        "training": {
            "trainer": "training.smooth_mi_trainer",
            "max_steps": 12,
            "save_freq": 1000,
            "pretraining_steps": 3,
            "ground_truth_observations_start": 2,
            "ground_truth_observations_end": 1,
            "ground_truth_observations_steps": 11,
            "batching": {**batching, "observations_count_start": 2, "observations_count_steps": 8},
            "loss_weights": weights,
        },
        "evaluation": {"eval_freq": 6, "max_evaluation_batches": 1, "batching": {**batching, "observations_count": 4}},
        "evaluation_dataset": {"ground_truth_observations_init": 1},
    }


def write_configuration(folder: Path, values: dict[str, Any] | None = None) -> Path:
    """Write a configuration file into `folder` and return its path."""
    path = folder / "square.yaml"
    path.write_text(yaml.safe_dump(values or configuration_values(folder)), encoding="utf-8")
    return path


def square_configuration(folder: Path, *overrides: str) -> Configuration:
    """The tiny configuration with `section.key=value` overrides."""
    return load_configuration(write_configuration(folder), list(overrides))

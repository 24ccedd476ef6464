"""Sequences as a model might have generated them from the tiny data set, and an evaluation of them."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dataset.annotations import Annotations
from dataset.video import Video, write_video
from evaluation.configuration import EvaluationConfiguration, load_evaluation_configuration
from tests.synthetic import SIDE, write_square_videos

T = 4
NUM_VIDEOS = 3
LENGTH = 6
STARTS = LENGTH - T + 1
NUM_SEQUENCES = NUM_VIDEOS * STARTS
INFERRED = np.array([1, 2, 0])
"""The action that is inferred in place of each true one."""
ERROR = 51
"""How much darker generated frames are, of 255, but for the first."""


def write_data(folder: Path) -> None:
    """Write test videos into `data`, and every sequence of them, darkened, into `generated`."""
    write_square_videos(folder / "data", {"test": NUM_VIDEOS}, LENGTH)
    windows = [(video, start) for video in range(NUM_VIDEOS) for start in range(STARTS)]
    for number, (video, start) in enumerate(windows):
        true = Video(folder / "data" / "test" / f"{video:05d}")
        frames = [np.asarray(true.frame(start + position)) for position in range(T)]
        actions = INFERRED[true.annotations.actions[start : start + T]].tolist()
        metadata: list[dict[str, Any]] = [{"inferred_action": action} for action in actions[:-1]]
        unknown = Annotations.unknown(T)
        unknown.metadata = [*metadata, {}]
        darkened = [frames[0], *(frame - np.minimum(frame, ERROR) for frame in frames[1:])]
        write_video(folder / "generated" / "test" / f"{number:05d}", darkened, unknown)


def evaluation_values(folder: Path) -> dict[str, Any]:
    """The configuration of an evaluation of that data."""
    return {
        "logging": {"run_name": "square", "output_root": str(folder / "evaluation_results")},
        "data": {"target_input_size": [SIDE, SIDE], "actions_count": 3, "ground_truth_available": True},
        "reference_data": {"data_root": str(folder / "data"), "crop": [0, 0, SIDE, SIDE]},
        "generated_data": {"data_root": str(folder / "generated"), "crop": [0, 0, SIDE, SIDE]},
        "evaluation": {"movement": "generic", "batching": {"batch_size": 2, "observations_count": T}},
    }


def evaluation_configuration(folder: Path, *overrides: str) -> EvaluationConfiguration:
    """The same, loaded from `evaluation.yaml` with `section.key=value` overrides."""
    path = folder / "evaluation.yaml"
    path.write_text(yaml.safe_dump(evaluation_values(folder)), encoding="utf-8")
    return load_evaluation_configuration(path, list(overrides))

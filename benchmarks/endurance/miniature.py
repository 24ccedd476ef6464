"""What the campaigns work on: a data set of noise, clips, a model whose steps take milliseconds, and its checkpoint."""

from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.endurance.children import Child, Command
from benchmarks.gpu.setting import MINIATURE, MINIATURE_SIDE, REPOSITORY
from dataset.annotations import Annotations
from dataset.video import write_video
from utils.command import UserError
from utils.configuration import Configuration, load_configuration
from utils.mp4_writer import Mp4Writer

CONFIG = REPOSITORY / "configs/00_breakout_demo.yaml"
RUN_NAME = "00_breakout_demo"
NUM_STEPS = 12

DATA, CLIPS = "data", "clips"
VIDEOS = {"train": 3, "val": 1, "test": 2}
NUM_FRAMES = 10
NUM_CLIPS = 4

OVERRIDES = (
    *MINIATURE,
    f"data.data_root={DATA}",
    f"data.crop=[0, 0, {MINIATURE_SIDE}, {MINIATURE_SIDE}]",
    "data.cache=none",
    "logging.output_root=results",
    "logging.save_root=checkpoints",
    "logging.trackers=[]",
    "training.compile=false",
    "training.pretraining_steps=4",
    f"training.max_steps={NUM_STEPS}",
    "training.save_freq=4",
    f"evaluation.eval_freq={NUM_STEPS}",
    "evaluation_dataset.max_sequences=6",
    "evaluation_dataset.ground_truth_observations_init=2",
)
"""What makes the demo's configuration one of these data, of paths in the working folder."""


def arguments(*overrides: str) -> list[str]:
    """Return the arguments of commands that take a configuration."""
    values = (*OVERRIDES, *overrides)
    return ["--config", str(CONFIG), "--device", "cpu", *(part for value in values for part in ("--set", value))]


def trained_breakout() -> Configuration:
    """Return the configuration of the trained model that comes with the repository, which is found from any folder."""
    path = REPOSITORY / "configs/00_breakout_play.yaml"
    return load_configuration(path, [f"logging.save_root={REPOSITORY / 'checkpoints'}"])


def are_same_weights(ours: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    """Whether two models have the same weights, bit by bit."""
    return ours.keys() == others.keys() and all(torch.equal(ours[name], others[name]) for name in ours)


def write_data(folder: Path) -> None:
    """Write the data set and the clips into a folder."""
    random = np.random.default_rng(0)
    for split, num_videos in VIDEOS.items():
        for number in range(num_videos):
            frames = random.integers(0, 256, (NUM_FRAMES, MINIATURE_SIDE, MINIATURE_SIDE, 3), np.uint8)
            write_video(folder / DATA / split / f"{number:05d}", frames, known_annotations(NUM_FRAMES))
    (folder / CLIPS).mkdir()
    for number in range(NUM_CLIPS):
        write_clip(folder / CLIPS / f"{number}.mp4", seed=number)


def known_annotations(num_frames: int) -> Annotations:
    """Annotations of a video in which the three actions take turns."""
    actions = [number % 3 for number in range(num_frames)]
    return Annotations(actions, [0.0] * num_frames, [{"score": 1}] * num_frames, [False] * num_frames)


def write_clip(path: Path, seed: int, num_frames: int = 30) -> None:
    """Write a video file of noise that changes every frame."""
    random = np.random.default_rng(seed)
    with closing(Mp4Writer(path, 10)) as writer:
        for _ in range(num_frames):
            writer.write(random.integers(0, 256, (MINIATURE_SIDE, MINIATURE_SIDE, 3), np.uint8))


def write_trained(folder: Path) -> None:
    """Write data, clips and the checkpoint of a short training into a new folder.

    Raises:
        UserError: the training failed.
    """
    folder.mkdir(parents=True)
    write_data(folder)
    ended = Child(Command("train"), arguments(), folder).wait()
    if ended.code:
        raise UserError(f"the training to begin with ended with {ended.code}: {ended.complaint}; see train.py")

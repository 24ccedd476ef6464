"""Data is opened in the form it has. One of its own is trained on, evaluated and played, and no other file knows it."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataset import open as opening
from dataset.batching import Batch
from dataset.formats import DataFormat, TrainingData
from dataset.splits import find_split_videos
from dataset.video_dataset import Samples, SequenceKey
from evaluation.dataset_builder import build_evaluation_dataset
from playing.starting_frames import choose_starting_frames
from tests.synthetic import SIDE, square_configuration, write_square_videos
from tests.training.test_state import assert_equal
from training import run
from utils.checkpoint import load_checkpoint
from utils.command import UserError
from utils.configuration import Configuration, DataSource

TOY = "toy://noise"

pytestmark = pytest.mark.usefixtures("_without_plots")


@dataclass(frozen=True)
class Noise:
    """Sequences of noise without an end, which follow from the step alone."""

    batch_size: int

    def batches(
        self,
        observations_count: Callable[[int], int],
        first_step: int,
        device: torch.device,  # noqa: ARG002
    ) -> Iterator[Batch]:
        for step in itertools.count(first_step):
            shape = (self.batch_size, observations_count(step))
            frames = np.random.default_rng(step).integers(0, 256, (*shape, SIDE, SIDE, 3), np.uint8)
            zeros = np.zeros(shape, np.float32)
            keys = [SequenceKey(0, 0, shape[1])] * self.batch_size
            yield Batch.of(Samples(keys, frames, zeros.astype(np.int64), zeros, zeros.astype(bool), None))

    def state(self) -> dict[str, int]:
        return {"noise": 1}

    def true_actions(self) -> Iterable[tuple[str, None]]:
        return [(TOY, None)]


@dataclass(frozen=True)
class Toy:
    """Noise to train on, and videos in a folder for all else."""

    folder: Path

    def holds(self, data_root: str) -> bool:
        return data_root == TOY

    def require_splits(self, data: DataSource, splits: Iterable[str]) -> None:
        for split in set(splits) - {"train"}:
            self.find_videos(data, split)

    def find_videos(self, data: DataSource, split: str) -> list[Path]:  # noqa: ARG002
        return find_split_videos(self.folder, split)

    def open_training_data(self, config: Configuration) -> Noise:
        return Noise(config.training.batching.batch_size)


@pytest.fixture
def _registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_square_videos(tmp_path / "elsewhere", {"val": 2, "test": 1})
    toy: DataFormat = Toy(tmp_path / "elsewhere")
    monkeypatch.setattr(opening, "FORMATS", (toy, *opening.FORMATS))


def configuration(folder: Path, *overrides: str) -> Configuration:
    return square_configuration(folder, f"data.data_root={TOY}", *overrides)


def learned(config: Configuration) -> dict[str, Any]:
    contents = load_checkpoint(config.logging.save_directory / "latest.pth.tar")
    del contents["config"]
    return contents


@pytest.mark.usefixtures("_registered")
def test_it_is_trained_on_and_resumed_exactly_evaluated_and_played(tmp_path: Path) -> None:
    whole = configuration(tmp_path, "training.max_steps=6", "logging.run_name=whole")
    assert run.train(whole, "cpu") == 0
    for max_steps in (2, 6):
        parts = configuration(tmp_path, f"training.max_steps={max_steps}", "logging.run_name=parts")
        assert run.train(parts, "cpu") == 0
    assert_equal(learned(parts), learned(whole))
    assert learned(whole)["data_state"] == {"noise": 1}

    build_evaluation_dataset(whole, "cpu")
    assert (whole.logging.output_directory / "evaluation_dataset/test/00000").is_dir()
    assert choose_starting_frames(whole, None, {})[1] == f"{TOY} (test)"


@pytest.mark.usefixtures("_registered")
def test_what_it_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^{TOY}: has no true actions"):
        run.train(configuration(tmp_path, "training.use_ground_truth_actions=true"), "cpu")
    (tmp_path / "elsewhere/val").rename(tmp_path / "elsewhere/validation")
    with pytest.raises(UserError, match="no videos of the split 'val'"):
        run.train(configuration(tmp_path), "cpu")


@pytest.mark.usefixtures("_registered")
def test_other_data_is_opened_as_before(square: Path) -> None:
    data: TrainingData = opening.open_training_data(square_configuration(square))
    assert data.state() == {"seed": 0, "batch_size": 2, "num_videos": 4, "num_frames": 48}


def test_shards_have_splits_of_their_own_and_keep_training_videos(tmp_path: Path) -> None:
    (tmp_path / "shards.json").touch()
    data = DataSource(data_root=str(tmp_path), crop=[0, 0, SIDE, SIDE])

    with pytest.raises(UserError, match=r"shards have splits of their own; remove data\.dataset_splits"):
        opening.find_videos(data.model_copy(update={"dataset_splits": [0.8, 0.1, 0.1]}), "val")
    with pytest.raises(UserError, match=r"training videos in shards are only for training; name the data set"):
        opening.find_videos(data, "train")

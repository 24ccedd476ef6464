"""Interface of data set formats; `dataset.open` lists the implementations."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import torch

from dataset.batching import Batch
from utils.command import UserError
from utils.configuration import Batching, Configuration, DataSource


class HasActions(Protocol):
    """Data whose true actions may be known."""

    def true_actions(self) -> Iterable[tuple[str, Iterable[int] | None]]:
        """Yield pairs of a path or URL and the true actions that occur there; None where some are unknown."""
        ...


class TrainingData(HasActions, Protocol):
    """Training split from which a run draws batches."""

    def batches(
        self, observations_count: Callable[[int], int], first_step: int, device: torch.device
    ) -> Iterable[Batch]:
        """Return an endless iterable of this rank's share of the batches from `first_step` on.

        The batches depend only on the configuration and the step: a resumed run gets the same as an uninterrupted one.

        Args:
            observations_count: schedule of the sequence length T, by step, counted from 1.
            first_step: step of the first batch.
            device: device the batches are for; for CUDA they are in pinned memory.

        Raises:
            UserError, OSError: a batch cannot be read.
        """
        ...

    def state(self) -> dict[str, int]:
        """Return the values that, with the step, determine the order of sequences; stored with a checkpoint."""
        ...


class DataFormat(Protocol):
    """A format of data sets."""

    def holds(self, data_root: str) -> bool:
        """Whether the data set at `data_root` has this format."""
        ...

    def require_splits(self, data: DataSource, splits: Iterable[str]) -> None:
        """Check that the splits exist, before anything large is downloaded.

        Raises:
            UserError: one is missing.
        """
        ...

    def find_videos(self, data: DataSource, split: str) -> list[Path]:
        """Return the local folders of a split's videos, sorted by name; they are downloaded if necessary.

        Raises:
            UserError: there are none, or they cannot be downloaded.
            OSError: the disk is full.
        """
        ...

    def open_training_data(self, config: Configuration) -> TrainingData:
        """Open the training split of a configuration.

        Raises:
            UserError: there is none, it does not fit the configuration, or it cannot be read.
            OSError: the disk is full.
        """
        ...


def sequence_options(config: Configuration, batching: Batching) -> dict[str, Any]:
    """Return the arguments of `dataset.video_dataset.VideoDataset` that a configuration sets."""
    return {
        "crop": config.data.crop,
        "size": config.model.representation_network.target_input_size,
        "observations_count": batching.observations_count,
        "skip_frames": batching.skip_frames,
        "observation_stacking": batching.observation_stacking,
        "cache": config.data.cache,
    }


def require_known_actions(data: HasActions, actions_count: int) -> None:
    """Check that all true actions are known and in 0 to `actions_count` - 1, so that they can drive the model.

    Raises:
        UserError: they are not.
    """
    for place, actions in data.true_actions():
        if actions is None:
            raise UserError(
                f"{place}: has no true actions, but training.use_ground_truth_actions needs them; set it to false "
                "or annotate the videos"
            )
        for action in actions:
            if not 0 <= action < actions_count:
                raise UserError(
                    f"{place}: has an action {action}, but training.use_ground_truth_actions needs 0 to "
                    f"{actions_count - 1} (data.actions_count is {actions_count}); raise data.actions_count or number "
                    "the actions from 0"
                )

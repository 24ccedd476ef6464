"""In which forms data sets may come: what each has to offer. `dataset.open` lists those that there are."""

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
        """Yield which true actions occur, by the path or URL of where; None where some are unknown."""
        ...


class TrainingData(HasActions, Protocol):
    """The training split, as a run draws from it."""

    def batches(
        self, observations_count: Callable[[int], int], first_step: int, device: torch.device
    ) -> Iterable[Batch]:
        """Return the endless batches of the steps from `first_step` on, this rank's share of each.

        They depend on nothing but the configuration and the step: a run that is resumed gets those of one that never
        stopped.

        Args:
            observations_count: the schedule: the number of observations T of the sequences at a step, from 1.
            first_step: the step of the first batch.
            device: where the batches will go: they come in pinned memory for CUDA.

        Raises:
            UserError, OSError: one cannot be read.
        """
        ...

    def state(self) -> dict[str, int]:
        """Return what, with the step, decides which sequences come next. It is kept with a checkpoint."""
        ...


class DataFormat(Protocol):
    """A form that data sets come in."""

    def holds(self, data_root: str) -> bool:
        """Whether the data set there has this form."""
        ...

    def require_splits(self, data: DataSource, splits: Iterable[str]) -> None:
        """`UserError` if one of some splits is missing, found out before anything large is fetched."""
        ...

    def find_videos(self, data: DataSource, split: str) -> list[Path]:
        """Return the folders of a split's videos, sorted by name, on this machine: fetched if need be.

        Raises:
            UserError: there are none, or they cannot be fetched.
            OSError: the disk is full.
        """
        ...

    def open_training_data(self, config: Configuration) -> TrainingData:
        """Return the training split of a configuration.

        Raises:
            UserError: there is none, it does not fit the configuration, or it cannot be read.
            OSError: the disk is full.
        """
        ...


def sequence_options(config: Configuration, batching: Batching) -> dict[str, Any]:
    """How the configuration wants frames and sequences: arguments of `dataset.video_dataset.VideoDataset`."""
    return {
        "crop": config.data.crop,
        "size": config.model.representation_network.target_input_size,
        "observations_count": batching.observations_count,
        "skip_frames": batching.skip_frames,
        "observation_stacking": batching.observation_stacking,
        "cache": config.data.cache,
    }


def require_known_actions(data: HasActions, actions_count: int) -> None:
    """`UserError` if true actions are unknown, or others than 0 to `actions_count` - 1, to drive the model."""
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

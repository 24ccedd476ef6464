"""Pairs of a generated sequence and the true one that it was generated from (docs/method.md#evaluation).

Dimensions: B sequences in a batch, T frames of each, H x W pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset.annotations import Annotations
from dataset.batching import evaluation_keys, in_batches, make_loader
from dataset.open import find_videos, is_without_splits
from dataset.video import Video
from dataset.video_dataset import SequenceKey, VideoDataset
from evaluation.configuration import EvaluationConfiguration
from evaluation.dataset_builder import SPLIT, Build
from utils.command import UserError
from utils.configuration import DataSource

Metadata = list[list[dict[str, Any]]]
"""The annotated metadata of each frame of each sequence."""


@dataclass(frozen=True)
class Pairs:
    """A batch of true sequences and the generated ones."""

    names: list[str]
    """The source of each: `<video>, from frame <start>`."""
    reference: np.ndarray
    """uint8 (B, T, H, W, 3)."""
    generated: np.ndarray
    """uint8 (B, T, H, W, 3)."""
    reference_metadata: Metadata
    generated_metadata: Metadata
    inferred_actions: np.ndarray
    """(B, T-1), from 0."""
    true_actions: np.ndarray
    """(B, T-1), 0 where unknown."""


class SequencePairs:
    """All pairs of two data sets, in order, read batch by batch."""

    def __init__(self, config: EvaluationConfiguration) -> None:
        """Open both data sets.

        Raises:
            UserError: one is missing or damaged, or they do not match.
        """
        self._batching = config.evaluation.batching
        self._actions_count = config.data.actions_count
        self._size = config.data.target_input_size
        self.build = Build.read(Path(config.generated_data.data_root))
        self._reference = self._open(config.reference_data, self._batching.skip_frames)
        self._generated = self._open(config.generated_data, skip_frames=0)
        length = self._batching.observations_count
        self._reference_keys = evaluation_keys(
            self._reference, length, self.build.max_sequences if self.build else None
        )
        self._generated_keys = evaluation_keys(self._generated, length)
        self._require_match(config)
        self.knows_actions = config.data.ground_truth_available and self._reference.knows_actions

    def __len__(self) -> int:
        return len(self._reference_keys)

    def typical_frames(self, count: int) -> np.ndarray:
        """Return at most `count` true frames spread evenly over the data set: uint8 (N, H, W, 3)."""
        return self._reference[evaluation_keys(self._reference, 1, count)].frames[:, 0]

    def __iter__(self) -> Iterator[Pairs]:
        """Yield batches.

        Raises:
            UserError: a frame or an action cannot be read.
        """
        sides = [(self._reference, self._reference_keys), (self._generated, self._generated_keys)]
        loaders = [
            make_loader(dataset, in_batches(keys, self._batching.batch_size), self._batching.num_workers)
            for dataset, keys in sides
        ]
        annotations = [_Annotated(dataset.videos) for dataset, _ in sides]
        for reference, generated in zip(*loaders, strict=True):
            metadata = [
                [read.metadata(key, dataset.stride) for key in batch.keys]
                for read, (dataset, _), batch in zip(annotations, sides, (reference, generated), strict=True)
            ]
            yield Pairs(
                names=[self._name(key) for key in reference.keys],
                reference=reference.frames.movedim(2, -1).numpy(),
                generated=generated.frames.movedim(2, -1).numpy(),
                reference_metadata=metadata[0],
                generated_metadata=metadata[1],
                inferred_actions=self._inferred(generated.keys, metadata[1]),
                true_actions=reference.actions[:, :-1].numpy(),
            )

    def _open(self, source: DataSource, skip_frames: int) -> VideoDataset:
        if is_without_splits(source):
            source = source.model_copy(update={"dataset_splits": [0.0, 0.0, 1.0]})
        dataset = VideoDataset(
            [Video(path) for path in find_videos(source, SPLIT)],
            crop=source.crop,
            size=self._size,
            observations_count=self._batching.observations_count,
            skip_frames=skip_frames,
        )
        dataset[[dataset.sequence(0, 1)]]  # raises an error if the crop exceeds the frames
        return dataset

    def _require_match(self, config: EvaluationConfiguration) -> None:
        """Check that the generated data set was made from the reference sequences.

        Raises:
            UserError: it was not.
        """
        reference, generated = config.reference_data.data_root, config.generated_data.data_root
        wanted = (self._batching.observations_count, self._batching.skip_frames)
        if self.build and wanted != (made := (self.build.observations_count, self.build.skip_frames)):
            raise UserError(
                f"{generated}: holds sequences of {made[0]} frames with skip_frames {made[1]}, but evaluation.batching "
                f"asks for {wanted[0]} and {wanted[1]}; change observations_count and skip_frames there, or build again"
            )
        if len(self._generated_keys) != len(self._reference_keys):
            raise UserError(
                f"{generated}: {len(self._generated_keys)} sequences of {wanted[0]} frames, but {reference} has "
                f"{len(self._reference_keys)}; name the data that they were generated from, or build again with "
                "build_evaluation_dataset.py"
            )

    def _name(self, key: SequenceKey) -> str:
        return f"{self._reference.videos[key.video].path.name}, from frame {key.first_frame}"

    def _inferred(self, keys: Sequence[SequenceKey], metadata: Metadata) -> np.ndarray:
        """Return the inferred actions (B, T-1) in the metadata of generated sequences.

        Raises:
            UserError: an action is missing or invalid.
        """
        actions = [[frame.get("inferred_action") for frame in frames[:-1]] for frames in metadata]
        for key, sequence in zip(keys, actions, strict=True):
            for action in sequence:
                if not (isinstance(action, int) and 0 <= action < self._actions_count):
                    raise UserError(
                        f"{self._generated.videos[key.video].path}: 'inferred_action' in the metadata is {action!r}, "
                        f"not a whole number below data.actions_count ({self._actions_count}); build the data set "
                        "with build_evaluation_dataset.py, or correct actions_count"
                    )
        return np.array(actions, np.int64)


class _Annotated:
    """The annotations of videos; keeps those read last, since the sequences of a video follow each other."""

    def __init__(self, videos: Sequence[Video]) -> None:
        self._videos = videos
        self._last: tuple[int, Annotations] | None = None

    def metadata(self, key: SequenceKey, stride: int) -> list[dict[str, Any]]:
        """Return the metadata of each frame of a sequence."""
        if self._last is None or self._last[0] != key.video:
            self._last = key.video, self._videos[key.video].annotations
        return self._last[1].metadata[key.first_frame :: stride][: key.observations_count]

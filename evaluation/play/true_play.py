"""True play of any footage: sequences of a data set with the actions that the model infers from them.

Dimensions: G sequences, T frames of each, L frames of a stretch, S stacked frames, H x W pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from dataset.batching import Batch, evaluation_keys, in_batches
from dataset.open import find_videos, open_split
from dataset.video_dataset import SequenceKey, VideoDataset
from model.noise import NoNoise
from model.playable import PlayableModel
from playing.starting_frames import SPLITS
from utils.command import UserError
from utils.configuration import Batching, Configuration

STRETCH = 50
"""Number of frames that are measured at a time, so that long sequences are never held as a whole."""


@dataclass(frozen=True)
class Stretch:
    """Consecutive frames of sequences side by side, generated or true."""

    frames: np.ndarray
    """uint8 (G, L+1, H, W, 3); the first one ends the stretch before, or is the sequence's first."""
    actions: np.ndarray
    """int64 (G, L): the actions that lead from each frame to the next, 0 to K - 1."""
    truth: np.ndarray | None = None
    """uint8 (G, M, H, W, 3): the true frames in place of the first M after `frames[:, 0]`; None if there are none."""


def held_out_split(config: Configuration) -> str:
    """Return the test split, or the validation split if there is no test split."""
    for split in SPLITS[:-1]:
        try:
            find_videos(config.data, split)
        except UserError:
            continue
        return split
    return SPLITS[-1]


def open_held_out(config: Configuration) -> VideoDataset:
    """Open the split of `held_out_split`.

    Raises:
        UserError: it is missing, or cannot be read.
    """
    return open_split(config, held_out_split(config), _batching(config))


def open_training_videos(config: Configuration) -> VideoDataset | None:
    """Open the training videos to read some of their frames; None if there are none on this machine."""
    data = config.data.model_copy(update={"cache": "none"})
    try:
        return open_split(config.model_copy(update={"data": data}), "train", _batching(config))
    except UserError:
        return None


def longest_length(dataset: VideoDataset, limit: int) -> int:
    """Return the median number of observations of a data set's videos, at least 2 and at most `limit`."""
    lengths = [(video.num_frames - 1) // dataset.stride + 1 for video in dataset.videos]
    return max(2, min(limit, int(np.median(lengths))))


@dataclass(frozen=True)
class TruePlay:
    """G sequences of T frames with inferred actions; the frames are read when they are needed."""

    dataset: VideoDataset
    keys: Sequence[SequenceKey]
    actions: np.ndarray
    """int64 (G, T-1): the inferred actions, 0 to K - 1."""

    @classmethod
    def of(
        cls, model: PlayableModel, dataset: VideoDataset, length: int, count: int, frames_at_once: int
    ) -> "TruePlay":
        """Infer the most probable actions, without noise, of sequences spread evenly over a data set.

        Args:
            model: the model.
            dataset: the data set.
            length: number of frames T.
            count: number of sequences, fewer if the data set has fewer.
            frames_at_once: number of frames that the model looks at together.
        """
        keys = evaluation_keys(dataset, length, count)
        groups = in_batches(keys, max(1, frames_at_once // length))
        progress = tqdm(groups, desc="inferring actions", unit="batch", disable=None)
        return cls(dataset, keys, np.concatenate([_infer(model, dataset, group, frames_at_once) for group in progress]))

    @property
    def num_steps(self) -> int:
        """Number of steps T-1 of each sequence."""
        return self.actions.shape[1]

    def stacks(self) -> np.ndarray:
        """Return the stacks that the sequences start with: uint8 (G, S, H, W, 3)."""
        return self.dataset[[SequenceKey(key.video, key.first_frame, 1) for key in self.keys]].frames

    def frames(self, first: int, count: int) -> np.ndarray:
        """Return frames `first` to `first + count - 1` of each sequence: uint8 (G, count, H, W, 3)."""
        shift = first * self.dataset.stride
        keys = [SequenceKey(key.video, key.first_frame + shift, count) for key in self.keys]
        return self.dataset[keys].frames[:, -count:]

    def truth_of(self, first: int, count: int) -> np.ndarray | None:
        """Return at most `count` frames from `first` on, as `frames`; None if the sequences end before."""
        count = min(count, self.num_steps + 1 - first)
        return self.frames(first, count) if count > 0 else None

    def stretches(self) -> Iterator[Stretch]:
        """Yield the sequences stretch by stretch."""
        for first in range(0, self.num_steps, STRETCH):
            actions = self.actions[:, first : first + STRETCH]
            yield Stretch(self.frames(first, actions.shape[1] + 1), actions)

    def groups(self, size: int) -> "list[TruePlay]":
        """Split the sequences into groups of `size`; the last one may be smaller."""
        firsts = range(0, len(self.keys), size)
        return [
            TruePlay(self.dataset, self.keys[first : first + size], self.actions[first : first + size])
            for first in firsts
        ]


def each_group(play: TruePlay, size: int, description: str) -> Iterator[Iterator[Stretch]]:
    """Yield the stretches of each group of sequences, with a progress bar."""
    for group in tqdm(play.groups(size), desc=description, unit="batch", disable=None):
        yield group.stretches()


def _batching(config: Configuration) -> Batching:
    """Return the batching of evaluation, for sequences of any length."""
    return config.evaluation.batching.model_copy(update={"observations_count": 2})


@torch.inference_mode()
def _infer(model: PlayableModel, dataset: VideoDataset, keys: Sequence[SequenceKey], frames_at_once: int) -> np.ndarray:
    """Return the most probable actions (B, T-1) of sequences, looking at a limited number of frames together."""
    num_steps = keys[0].observations_count - 1
    window = max(1, frames_at_once // len(keys) - 1)
    parts = []
    for first in range(0, num_steps, window):
        count = min(window, num_steps - first) + 1
        shifted = [SequenceKey(key.video, key.first_frame + first * dataset.stride, count) for key in keys]
        observations = Batch.of(dataset[shifted]).to(model.centroids.device).observations()
        parts.append(model.infer_actions(observations, NoNoise()).most_probable.cpu().numpy())
    return np.concatenate(parts, axis=1)

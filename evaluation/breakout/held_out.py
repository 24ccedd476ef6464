"""Held-out true play of Breakout, and a model's reconstructions of it.

Dimensions: G sequences of T frames, W windows of L frames, H x W pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dataset.batching import Batch, evaluation_keys, in_batches, make_loader
from dataset.video_dataset import SequenceKey, VideoDataset
from evaluation.breakout.ball import Drawn, measure_drawn
from evaluation.breakout.tracking import NUM_TYPICAL_FRAMES, Playfield
from evaluation.play.true_play import held_out_split
from evaluation.play.true_play import open_held_out as open_any_held_out
from model.noise import Noise
from model.playable import Rollout, most_probable_actions
from playing.simulator import Simulator
from utils.command import UserError
from utils.configuration import Configuration
from utils.images import to_uint8

NUM_SEQUENCES = 40
LONGEST_SEQUENCE = 100
"""Number of held-out sequences used as the truth, and their maximum number of frames."""

CONTEXT = 4
"""True observations before the first measured frame: they show how the ball moves."""

HORIZONS = (1, 5, 10, 20)
"""Numbers, from 1, of the generated frames after the context that are compared with the true ones."""

NUM_WINDOWS = 400
"""Maximum number of starting points for these, spread evenly over the data set."""


@dataclass(frozen=True)
class HeldOut:
    """True sequences with the actions that the model infers and the frames that it generates from them."""

    frames: np.ndarray  # uint8 (G, T, H, W, 3)
    actions: np.ndarray  # (G, T-1) true actions
    inferred: np.ndarray  # (G, T-1) learned actions, 0 to K - 1
    one_step: np.ndarray  # uint8 (G, T-1, H, W, 3), each frame but the first, generated from the true ones before it


@dataclass(frozen=True)
class Foresight:
    """Accuracy of the ball in frames generated with the actions that the model infers from the true frames."""

    one_step: Drawn
    """Frames generated from true ones, at least `CONTEXT` of them."""
    own: dict[int, Drawn]
    """Frames generated from `CONTEXT` true ones and then the model's own, by their number after the context, from 1."""


def shows_breakout(config: Configuration) -> bool:
    """Whether the held-out frames of a data set show the paddle of Breakout.

    Raises:
        UserError: there are none.
    """
    dataset = open_any_held_out(config)
    keys = evaluation_keys(dataset, 2, NUM_TYPICAL_FRAMES)
    frames = np.concatenate([dataset[[key]].frames[:, -1] for key in keys])
    try:
        Playfield.of(frames)
    except UserError:
        return False
    return True


def open_held_out(config: Configuration) -> VideoDataset:
    """Open the test split, or the validation split if there is no test split.

    Raises:
        UserError: there is none, or its actions are unknown.
    """
    dataset = open_any_held_out(config)
    if not dataset.knows_actions:
        raise UserError(
            f"{config.data.data_root}: the videos of the split '{held_out_split(config)}' have no true actions, by "
            "which playability is measured; annotate them, or let data.data_root name a recording that has them"
        )
    return dataset


def infer_held_out(simulator: Simulator, dataset: VideoDataset, config: Configuration, device: torch.device) -> HeldOut:
    """Infer the actions of sequences spread evenly over a data set, in the same way as evaluation during training."""
    length = max(2, min(LONGEST_SEQUENCE, int(np.median(_lengths(dataset)))))
    keys = evaluation_keys(dataset, length, NUM_SEQUENCES)
    frames, actions, inferred, one_step = [], [], [], []
    for batch, rollout in _rollouts(simulator, dataset, keys, length - 1, config, device):
        frames.append(_newest_frames(batch))
        actions.append(batch.actions[:, :-1].numpy())
        inferred.append(rollout.actions.argmax(dim=-1).cpu().numpy())
        one_step.append(_generated_frames(rollout))
    return HeldOut(*(np.concatenate(parts) for parts in (frames, actions, inferred, one_step)))


def foresee(
    simulator: Simulator,
    dataset: VideoDataset,
    held_out: HeldOut,
    playfield: Playfield,
    config: Configuration,
    device: torch.device,
) -> Foresight:
    """Measure where the model draws the ball, one step ahead and further.

    Args:
        simulator: the model.
        dataset: the held-out split.
        held_out: the result of `infer_held_out` for it.
        playfield: the layout of its frames.
        config: the run's configuration.
        device: the model's device.
    """
    length = min(CONTEXT + max(HORIZONS), max(_lengths(dataset)))
    context = min(CONTEXT, length - 1)
    keys = evaluation_keys(dataset, length, NUM_WINDOWS)
    windows, own = [], []
    for batch, rollout in _rollouts(simulator, dataset, keys, context, config, device):
        windows.append(_newest_frames(batch))
        own.append(_generated_frames(rollout))
    true, made = np.concatenate(windows), np.concatenate(own)
    first = context - 1  # the first step that is generated from the context alone
    return Foresight(
        one_step=_compare(playfield, held_out.frames, held_out.one_step, slice(first, None)),
        own={
            number: _compare(playfield, true, made, slice(first + number - 1, first + number))
            for number in HORIZONS
            if first + number < length
        },
    )


def _compare(playfield: Playfield, true: np.ndarray, made: np.ndarray, steps: slice) -> Drawn:
    """Compare the generated frames of some steps with the true ones.

    Step s, from 0, leads from frame s to frame s + 1 of a true sequence; frame s of `made` is generated in place of the
    latter.

    Args:
        playfield: the layout of true frames.
        true: uint8 (G, T, H, W, 3).
        made: uint8 (G, T-1, H, W, 3).
        steps: the steps to compare.
    """
    chosen = (frames[:, steps].reshape(-1, *frames.shape[2:]) for frames in (true[:, :-1], true[:, 1:], made))
    return measure_drawn(playfield, *chosen)


@torch.inference_mode()
def _rollouts(
    simulator: Simulator,
    dataset: VideoDataset,
    keys: Sequence[SequenceKey],
    true_observations: int,
    config: Configuration,
    device: torch.device,
) -> Iterator[tuple[Batch, Rollout]]:
    """Reconstruct sequences of one length from some true observations and the most probable actions."""
    batching = config.evaluation.batching
    length = keys[0].observations_count
    batch_size = max(1, batching.batch_size * batching.observations_count // length)  # as many frames as configured
    noise = Noise(torch.Generator(device).manual_seed(config.training.seed))
    for batch in make_loader(dataset, in_batches(keys, batch_size), device=device):
        yield (
            batch,
            simulator.model(
                batch.to(device).observations(),
                true_observations,
                action_sampler=most_probable_actions,
                zero_variations=True,
                noise=noise,
            ),
        )


def _lengths(dataset: VideoDataset) -> list[int]:
    """Return the number of observations of each video."""
    return [(video.num_frames - 1) // dataset.stride + 1 for video in dataset.videos]


def _newest_frames(batch: Batch) -> np.ndarray:
    """Return the newest frame of each observation of a batch: uint8 (B, T, H, W, 3)."""
    return batch.frames[:, -batch.actions.shape[1] :].movedim(2, -1).numpy()


def _generated_frames(rollout: Rollout) -> np.ndarray:
    """Return the reconstructed frames: uint8 (B, T-1, H, W, 3)."""
    return to_uint8(rollout.frames.full).movedim(2, -1).cpu().numpy()

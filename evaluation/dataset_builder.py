"""The data set of reconstructions that the metrics are computed on (docs/method.md#evaluation-data-set).

    results/<run_name>/evaluation_dataset/
        test/00000 ...         every sequence of the test split in order: its first frame, then generated ones
        actions/1/00000 ...    each action, from 1, repeated from a few frames of the test split
        build.json             checkpoint, configuration and data from which all this was built

Each sequence is a video in the layout of `dataset.video`. In `test` the metadata of a frame hold `inferred_action`, an
integer from 0, and `encoded_action`, the sampled direction in the action space. Both lead to the next frame, so the
metadata of the last frame are empty.

Sequences are written one by one to a hidden folder, which gets its final name once it is complete. A reconstruction
depends only on the sequence's place in the data, not on the other sequences of its batch: an interrupted build
continues to the same result, even with another batch size or number of ranks.

Dimensions: B batch, T observations in a sequence, S stacked frames in an observation, K actions, D action-space
dimension, H x W pixels.
"""

import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from tqdm import tqdm

from dataset.authors_layout import convert_to_authors_layout
from dataset.batching import Batch, evaluation_keys, in_batches, make_loader
from dataset.formats import require_known_actions
from dataset.frame_cache import fingerprint
from dataset.open import open_split
from dataset.video import VideoWriter, write_video
from dataset.video_dataset import SequenceKey, VideoDataset
from model.noise import SequenceNoise
from model.playable import ActionSampler, PlayableModel, most_probable_actions, true_actions
from playing.simulator import Simulator, build_simulator, checkpoint_path, digest, play_games
from utils import ranks
from utils.checkpoint import load_checkpoint
from utils.command import UserError, one_line, tell
from utils.configuration import Configuration
from utils.device import explaining_lack_of_memory
from utils.distributed import all_ranks
from utils.files import only_process, replacing, require_writable
from utils.images import to_uint8
from utils.sections import flatten

FOLDER = "evaluation_dataset"
SPLIT = "test"
ACTIONS = "actions"
BUILD_FILE = "build.json"

NUM_STARTS = 4
NUM_REPETITIONS = 16
"""Number of starting frames from which each action is shown, and how many times it is repeated."""

Layout = Literal["ours", "authors"]

_RELEVANT_KEYS = (
    "data.crop",
    "data.actions_count",
    "model.",
    "training.seed",
    "training.use_ground_truth_actions",
    "evaluation.batching.observations_count",
    "evaluation.batching.observation_stacking",
    "evaluation.batching.skip_frames",
    "evaluation_dataset.",
)
"""Prefixes of the configuration keys on which reconstructions depend, besides checkpoint and data."""


@dataclass(frozen=True)
class Build:
    """The contents of `build.json`: what an evaluation data set was built from."""

    run_name: str
    checkpoint_sha256: str
    configuration: dict[str, Any]
    """The configuration of the build, nested like `utils.configuration.Configuration`."""
    observations_count: int
    """Number of frames T of a sequence; the first one is true."""
    ground_truth_observations: int
    """Number of true observations that drive the model before generated ones do."""
    skip_frames: int
    """Number of frames of a test video that are skipped between two frames of a sequence."""
    max_sequences: int | None
    """Maximum number of sequences, spread evenly over the test split; None for all."""
    num_sequences: int
    data_fingerprint: str
    """Fingerprint of the frame files of the test split."""
    layout: Layout
    format_version: Literal[1] = 1

    @classmethod
    def of(cls, config: Configuration, dataset: VideoDataset, checkpoint: Path, layout: Layout) -> Self:
        """Describe the build from a configuration, the test split and a checkpoint file."""
        batching, settings = config.evaluation.batching, config.evaluation_dataset
        return cls(
            run_name=config.logging.run_name,
            checkpoint_sha256=digest(checkpoint),
            configuration=config.model_dump(mode="json"),
            observations_count=batching.observations_count,
            ground_truth_observations=settings.ground_truth_observations_init,
            skip_frames=batching.skip_frames,
            max_sequences=settings.max_sequences,
            num_sequences=len(_sequences(config, dataset)),
            data_fingerprint=fingerprint(dataset.videos).hex(),
            layout=layout,
        )

    @classmethod
    def read(cls, root: Path) -> Self | None:
        """Read `build.json` from a folder; return None if there is none.

        Raises:
            UserError: the file is damaged or of another version.
        """
        path = root / BUILD_FILE
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes(), strict=True)
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            reason = error.strerror if isinstance(error, OSError) else "damaged, or written by another version"
            raise UserError(
                f"{path}: cannot be read ({reason}); build the data set again: build_evaluation_dataset.py --force"
            ) from error

    def write(self, root: Path) -> None:
        """Write `build.json` to a folder, which is created if it does not exist.

        Raises:
            OSError: it cannot be written.
        """
        with replacing(root / BUILD_FILE) as file:
            file.write(TypeAdapter(Build).dump_json(self, indent=1))

    def changes_since(self, other: "Build") -> list[str]:
        """List the differences from an earlier build; those of a configuration key as `key: before -> now`."""
        sources = {
            "checkpoint_sha256": "the checkpoint",
            "data_fingerprint": "the videos of the test split",
            "layout": "the layout",
        }
        changes = [name for field, name in sources.items() if getattr(self, field) != getattr(other, field)]
        now, before = (flatten(build.configuration) for build in (self, other))
        keys = [key for key in now | before if key.startswith(_RELEVANT_KEYS) and now.get(key) != before.get(key)]
        return changes + [f"{key}: {before.get(key)} -> {now.get(key)}" for key in keys]


@dataclass(frozen=True)
class Reconstructions:
    """A batch of sequences that the model has reconstructed."""

    frames: np.ndarray  # uint8 (B, T, H, W, 3), the first one true
    actions: np.ndarray  # (B, T-1) the actions taken, 0 to K - 1
    directions: np.ndarray  # float32 (B, T-1, D), sampled


def build_evaluation_dataset(
    config: Configuration,
    device_name: str,
    *,
    force: bool = False,
    layout: Layout = "ours",
    checkpoint: Path | None = None,
) -> None:
    """Reconstruct the test split with a trained model, unless this is done already.

    Nothing is written before everything that is needed has been checked. An older data set is replaced once the new one
    is complete. Ranks share the sequences.

    Args:
        config: the run's configuration.
        device_name: `auto`, `cpu`, `cuda` or `mps`.
        force: build from the beginning, even if a finished or interrupted build exists.
        layout: format of the annotations: `ours` or `authors`.
        checkpoint: the model's; None for the run's latest.

    Raises:
        UserError: something is missing, damaged or invalid.
    """
    with all_ranks(device_name) as device:
        _build(config, device, force, layout, checkpoint)


def _build(config: Configuration, device: torch.device, force: bool, layout: Layout, checkpoint: Path | None) -> None:
    """Build the data set: the part of one rank."""
    root = config.logging.output_directory / FOLDER
    require_writable(root.parent, "choose another logging.output_root")
    _require_replaceable(root)
    checkpoint = checkpoint_path(config, checkpoint)
    dataset = _open_test_split(config)
    build = Build.of(config, dataset, checkpoint, layout)
    finished = None if force else Build.read(root)
    changes = build.changes_since(finished) if finished else []
    if finished and not changes:
        tell(f"{root} is complete: {build.num_sequences} sequences, and nothing they depend on changed")
        return

    simulator = build_simulator(config, load_checkpoint(checkpoint), checkpoint, device)
    if changes:
        tell(f"{root} is built again, since this changed: {', '.join(changes)}")
    unfinished = root.with_name(f".{FOLDER}.unfinished")
    try:
        with ExitStack() as stack:
            if ranks.is_main():
                stack.enter_context(only_process(root.parent, "logging.run_name"))
                _begin(unfinished, build, force)
            ranks.wait_for_all()
            with explaining_lack_of_memory(device):
                if ranks.is_main():
                    demonstrate_actions(simulator, dataset, unfinished / ACTIONS)
                try:
                    reconstruct_share(simulator, dataset, config, unfinished / SPLIT)
                except FloatingPointError as error:
                    raise UserError(f"{checkpoint}: {error}") from error
            ranks.wait_for_all()
            if ranks.is_main():
                if layout == "authors":
                    for video in (*unfinished.glob(f"{SPLIT}/*"), *unfinished.glob(f"{ACTIONS}/*/*")):
                        convert_to_authors_layout(video)
                _replace(root, unfinished)
    except OSError as error:
        raise UserError(
            f"{root}: cannot be built ({error.strerror or one_line(error)}); make room or mend the folder, then run "
            "the same command again to continue"
        ) from error
    print(f"sequences   {root / SPLIT} ({build.num_sequences})")
    print(f"actions     {root / ACTIONS}")


def demonstrate_actions(simulator: Simulator, dataset: VideoDataset, folder: Path) -> None:
    """Write videos of each action, taken `NUM_REPETITIONS` times from `NUM_STARTS` frames spread over a data set.

    Args:
        simulator: the model.
        dataset: the videos from which starting frames are taken.
        folder: the parent of the videos `<action, from 1>/<start>`, each of which begins with its starting frame.
            Existing ones are kept.
    """
    stacks = dataset[evaluation_keys(dataset, 1, NUM_STARTS)].frames
    actions, starts = np.divmod(np.arange(simulator.actions_count * len(stacks)), len(stacks))
    paths = [folder / f"{action + 1}" / f"{start:05d}" for action, start in zip(actions, starts, strict=True)]
    if all(path.exists() for path in paths):
        return
    script = np.repeat(actions[:, np.newaxis], NUM_REPETITIONS, axis=1)
    for path, frames in zip(paths, play_games(simulator, stacks[starts], script), strict=True):
        if not path.exists():
            write_video(path, frames)


def reconstruct_share(simulator: Simulator, dataset: VideoDataset, config: Configuration, folder: Path) -> None:
    """Reconstruct this rank's sequences batch by batch, and write each as a video.

    Args:
        simulator: the model.
        dataset: the test split.
        config: the run's configuration, which selects the sequences and the batch size.
        folder: the parent of the videos, which are numbered in order. Existing ones are kept.
    """
    keys = _sequences(config, dataset)
    digits = max(5, len(str(len(keys) - 1)))  # so that names sort in the order of the sequences
    names = {key: f"{number:0{digits}d}" for number, key in enumerate(keys)}
    batching = config.evaluation.batching
    share = in_batches(keys, batching.batch_size)[ranks.rank() :: ranks.num_ranks()]
    missing = {key for key in keys if not (folder / names[key]).exists()}
    if len(missing) < len(keys):
        tell(f"continuing after {len(keys) - len(missing)} of {len(keys)} sequences")
    num_sequences = sum(map(len, share))
    batches = [batch for batch in share if not missing.isdisjoint(batch)]
    device = simulator.centroids.device
    with tqdm(
        total=num_sequences,
        initial=sum(key not in missing for batch in share for key in batch),
        desc="reconstructing" if ranks.num_ranks() == 1 else "reconstructing (share of rank 0)",
        unit=" sequences",
        disable=None if ranks.is_main() else True,
    ) as progress:
        for batch in make_loader(dataset, batches, batching.num_workers, device):
            made = reconstruct(simulator.model, batch.to(device), config)
            for key, *sequence in zip(batch.keys, made.frames, made.actions, made.directions, strict=True):
                if key in missing:
                    _write_sequence(folder / names[key], *sequence)
                    progress.update()


@torch.inference_mode()
def reconstruct(model: PlayableModel, batch: Batch, config: Configuration) -> Reconstructions:
    """Reconstruct sequences from their first observations and the most probable actions, without variations.

    A model that is trained with the true actions is given these instead. The noise in a sequence's directions depends
    on the seed and on where the sequence begins. In an ensemble, one network infers all actions.

    Args:
        model: the model in evaluation mode.
        batch: the sequences, on the model's device.
        config: the run's configuration.

    Raises:
        FloatingPointError: the model generates values that are not finite.
    """
    sampler: ActionSampler = most_probable_actions
    if config.training.use_ground_truth_actions:
        sampler = true_actions(batch.actions, config.data.actions_count)
    rollout = model(
        batch.observations(),
        config.evaluation_dataset.ground_truth_observations_init,
        action_sampler=sampler,
        zero_variations=True,
        noise=SequenceNoise([(config.training.seed, key.video, key.first_frame) for key in batch.keys]),
    )
    directions = rollout.inferred_actions.sampled_directions
    generated = rollout.frames.full
    if not (generated.isfinite().all() and directions.isfinite().all()):
        raise FloatingPointError(
            "the model generates values that are not finite; train it again, or put an earlier checkpoint in its place"
        )
    first_frames = batch.frames[:, config.evaluation.batching.observation_stacking - 1]
    frames = torch.cat([first_frames.unsqueeze(1), to_uint8(generated)], dim=1)
    return Reconstructions(
        frames=frames.movedim(2, -1).cpu().numpy(),
        actions=rollout.actions.argmax(dim=-1).cpu().numpy(),
        directions=directions.cpu().numpy(),
    )


def _write_sequence(path: Path, frames: np.ndarray, actions: np.ndarray, directions: np.ndarray) -> None:
    """Write frames (T, H, W, 3) with the actions (T-1) and directions (T-1, D) between them."""
    with VideoWriter(path) as writer:
        for frame, action, direction in zip(frames[:-1], actions, directions, strict=True):
            writer.append(frame, metadata={"inferred_action": action, "encoded_action": direction})
        writer.append(frames[-1], metadata={})


def _open_test_split(config: Configuration) -> VideoDataset:
    """Open the test split without a frame cache, so that memory does not grow with the data."""
    data = config.data.model_copy(update={"cache": "none"})
    dataset = open_split(config.model_copy(update={"data": data}), SPLIT, config.evaluation.batching)
    if config.training.use_ground_truth_actions:
        require_known_actions(dataset, config.data.actions_count)
    return dataset


def _sequences(config: Configuration, dataset: VideoDataset) -> list[SequenceKey]:
    """Return the sequences to reconstruct, in order."""
    length, max_sequences = config.evaluation.batching.observations_count, config.evaluation_dataset.max_sequences
    return evaluation_keys(dataset, length, max_sequences)


def _require_replaceable(root: Path) -> None:
    """Check that the folder does not exist, or holds a data set that may be replaced.

    Raises:
        UserError: it exists and has no `build.json`.
    """
    if os.path.lexists(root) and not (root / BUILD_FILE).is_file():
        raise UserError(f"{root}: is in the way: without a {BUILD_FILE}, it was not built here; move it elsewhere")


def _begin(unfinished: Path, build: Build, force: bool) -> None:
    """Create the folder of an unfinished build; keep an existing one if it was begun from the same sources."""
    begun = None if force else Build.read(unfinished)
    changes = build.changes_since(begun) if begun else []
    if changes:
        tell(f"the build that was interrupted is begun anew, since this changed: {', '.join(changes)}")
    if begun is None or changes:
        _remove(unfinished)
        build.write(unfinished)


def _replace(root: Path, unfinished: Path) -> None:
    """Move a finished build to its final place, and delete the previous one."""
    old = root.with_name(f".{FOLDER}.old")
    _remove(old)
    if root.exists():
        root.rename(old)
    unfinished.rename(root)
    _remove(old)


def _remove(folder: Path) -> None:
    """Delete a build, `build.json` first, so that an interrupted deletion is not taken for a finished build."""
    (folder / BUILD_FILE).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)

"""A training run: everything it is made of, built in the order in which mistakes are cheapest to find."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import torch

from dataset.shards.split import ShardedSplit
from dataset.shards.storage import Storage, is_sharded
from dataset.splits import find_videos, require_own_splits
from dataset.video import Video
from dataset.video_dataset import VideoDataset
from evaluation.evaluator import Evaluator
from model.build import build_model
from model.layers.batch_norm import synchronize_batch_norms
from model.perceptual import PerceptualNetwork, load_perceptual_network
from training.compilation import compile_networks, explaining_failed_compilation, settled
from training.distributed import all_ranks, require_divisible
from training.objective import Objective
from training.state import TrainingState
from training.trainer import Trainer
from utils import ranks
from utils.checkpoint import LATEST
from utils.command import EXIT_DONE, UserError, tell
from utils.configuration import Batching, Configuration, Data
from utils.device import allow_tf32, explaining_lack_of_memory
from utils.files import only_process, require_writable
from utils.logger import IMAGES, METRICS, RunLogger, has_evaluation

SMALLEST_PERCEPTUAL_SIDE = 64
"""Pixels: VGG19 halves frames four times, and the smallest it sees are a quarter of the size."""


def train(config: Configuration, device_name: str) -> int:
    """Train as a configuration says, or go on where its checkpoint stands.

    Nothing is written before everything that a run needs was found in order.

    Args:
        config: the run's configuration.
        device_name: `auto`, `cpu`, `cuda` or `mps`.

    Returns:
        The exit code: done, or interrupted by a signal after saving.

    Raises:
        UserError: something is missing, damaged, impossible or not finite.
    """
    with all_ranks(device_name) as device:
        return _train_on(device, settled(config, device))


def _train_on(device: torch.device, config: Configuration) -> int:
    """Check that nothing is missing, train, and say where the results are; the exit code."""
    output_directory, save_directory = config.logging.output_directory, config.logging.save_directory
    require_writable(output_directory, "choose another logging.output_root")
    require_writable(save_directory, "choose another logging.save_root")
    require_divisible(config.training.batching.batch_size)
    _require_splits(config.data)
    perceptual_network = _perceptual_network(config)
    with explaining_lack_of_memory(device), explaining_failed_compilation():
        code, step = _train(config, device, perceptual_network)
    print(f"images      {output_directory / IMAGES}")
    print(f"log         {output_directory / METRICS}")
    print(f"checkpoint  {save_directory / LATEST} (step {step})")
    return code


def _train(
    config: Configuration, device: torch.device, perceptual_network: PerceptualNetwork | None
) -> tuple[int, int]:
    """Build the run and train; the exit code, and the step that was reached."""
    torch.manual_seed(config.training.seed)
    model = build_model(config).to(device)
    if config.training.sync_batchnorm:
        synchronize_batch_norms(model)
    allow_tf32(config.training.precision != "fp32")
    objective = Objective(config, perceptual_network).to(device)
    objective.require_terms(model)
    if config.training.compile:
        compile_networks(model, objective, device)
    state = TrainingState(config, model, objective)
    continued = state.resume(config.logging.save_directory)
    if state.is_complete and has_evaluation(config.logging.output_directory / METRICS, state.step):
        tell(f"{config.logging.run_name}: training is complete, {state.step} of {config.training.max_steps} steps")
        return EXIT_DONE, state.step

    evaluator = Evaluator(config, open_split(config, "val", config.evaluation.batching), device, perceptual_network)
    dataset = open_training_split(config)
    if config.training.use_ground_truth_actions:
        for split in (evaluator.dataset, dataset):
            require_known_actions(split, config.data.actions_count)
    with ExitStack() as stack:
        logger = None
        if ranks.is_main():
            stack.enter_context(only_process(config.logging.save_directory, "logging.run_name"))
            logger = stack.enter_context(closing(RunLogger(config)))
        ranks.wait_for_all()
        state.resume(config.logging.save_directory)  # once more: another process may have been at work until now
        trainer = Trainer(config, state, dataset, evaluator, logger)
        if continued is not None:
            tell(f"continuing {config.logging.run_name} after step {state.step} of {config.training.max_steps}")
            trainer.tell_differences(continued)
        return trainer.train(), state.step


def _perceptual_network(config: Configuration) -> PerceptualNetwork | None:
    """The network of the perceptual loss, if that has a weight."""
    if not config.training.loss_weights.need_perceptual_network:
        return None
    side = min(config.model.representation_network.target_input_size)
    if side < SMALLEST_PERCEPTUAL_SIDE:
        raise UserError(
            f"model.representation_network.target_input_size: the perceptual loss needs sides of at least "
            f"{SMALLEST_PERCEPTUAL_SIDE}, not {side}; enlarge it, or train without the loss: set "
            "training.loss_weights.perceptual_loss_lambda and perceptual_loss_lambda_pretraining to 0"
        )
    return load_perceptual_network()


def sequence_options(config: Configuration, batching: Batching) -> dict[str, Any]:
    """How the configuration wants frames and sequences: arguments of `VideoDataset` and of `ShardedSplit`."""
    return {
        "crop": config.data.crop,
        "size": config.model.representation_network.target_input_size,
        "observations_count": batching.observations_count,
        "skip_frames": batching.skip_frames,
        "observation_stacking": batching.observation_stacking,
        "cache": config.data.cache,
    }


def open_split(config: Configuration, split: str, batching: Batching, max_videos: int | None = None) -> VideoDataset:
    """The sequences of one split, or of its first `max_videos` videos, as the configuration wants them.

    Raises:
        UserError: there are none, a video is refused, or the first sequence cannot be read.
        OSError: the disk is full.
    """
    data = config.data
    paths = find_videos(data.data_root, split, data.dataset_splits, data.shard_directory)[:max_videos]
    dataset = VideoDataset([Video(path) for path in paths], **sequence_options(config, batching))
    dataset[[dataset.sequence(0, batching.observations_count)]]  # finds a crop that reaches outside of the frames
    return dataset


def open_training_split(config: Configuration) -> VideoDataset | ShardedSplit:
    """What training draws from: all sequences on this machine, or those in shards as they are streamed.

    Raises:
        UserError: as `open_split`; or there are fewer shards than ranks.
    """
    batching = config.training.batching
    if not is_sharded(config.data.data_root):
        return open_split(config, "train", batching)
    split = ShardedSplit(config.data.data_root, "train", **sequence_options(config, batching))
    split.require_shards(ranks.num_ranks())
    return split


def require_known_actions(dataset: VideoDataset | ShardedSplit, actions_count: int) -> None:
    """`UserError` if true actions are unknown, or others than 0 to `actions_count` - 1, to drive the model."""
    for place, actions in _true_actions(dataset):
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


def _true_actions(dataset: VideoDataset | ShardedSplit) -> Iterator[tuple[str, Iterable[int] | None]]:
    """The true actions that occur in each video, or in all shards, by their place; None if some are unknown."""
    if isinstance(dataset, ShardedSplit):
        yield dataset.storage.root, dataset.actions
        return
    for video in dataset.videos:
        annotations = video.annotations
        yield str(video.path), set(annotations.actions) if annotations.actions_are_known else None


def _require_splits(data: Data) -> None:
    """`UserError` if there are no videos to train on, or none to validate with. Nothing is fetched but an index."""
    if is_sharded(data.data_root):
        require_own_splits(data.data_root, data.dataset_splits)
        index = Storage(data.data_root).read_index()
        for split in ("train", "val"):
            index.find(split, data.data_root)
        return
    for split in ("train", "val"):
        find_videos(data.data_root, split, data.dataset_splits)

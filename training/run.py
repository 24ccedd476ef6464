"""A training run: everything it is made of, built in the order in which mistakes are cheapest to find."""

from contextlib import closing

import torch

from dataset.splits import find_videos
from dataset.video import Video
from dataset.video_dataset import VideoDataset
from evaluation.evaluator import Evaluator
from model.caddy import Caddy
from model.perceptual import load_perceptual_network
from training.objective import Objective
from training.state import TrainingState
from training.trainer import Trainer
from utils.checkpoint import LATEST
from utils.command import EXIT_DONE, UserError
from utils.configuration import Batching, Configuration
from utils.device import select_device
from utils.files import require_writable
from utils.logger import RunLogger, tell


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
    device = select_device(device_name)
    save_directory = config.logging.save_directory
    require_writable(config.logging.output_directory, "choose another logging.output_root")
    require_writable(save_directory, "choose another logging.save_root")

    perceptual_network = load_perceptual_network() if config.training.loss_weights.need_perceptual_network else None
    torch.manual_seed(config.training.seed)
    model = Caddy(config).to(device)
    objective = Objective(config, perceptual_network).to(device)
    state = TrainingState(config, model, objective)
    checkpoint = state.resume(save_directory)
    if state.is_complete:
        tell(f"{save_directory / LATEST}: training is complete, {state.step} of {config.training.max_steps} steps")
        return EXIT_DONE

    evaluator = Evaluator(config, open_split(config, "val", config.evaluation.batching), device, perceptual_network)
    dataset = open_split(config, "train", config.training.batching)
    if config.training.use_ground_truth_actions:
        for split in (evaluator.dataset, dataset):
            require_known_actions(split, config.data.actions_count)
    with closing(RunLogger(config)) as logger:
        trainer = Trainer(config, state, dataset, evaluator, logger)
        if checkpoint:
            tell(f"continuing {config.logging.run_name} after step {state.step} of {config.training.max_steps}")
            trainer.tell_differences(checkpoint)
        try:
            code = trainer.train()
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"{device} has too little memory: lower batch_size or observations_count of training.batching or "
                "evaluation.batching, then run the same command again"
            ) from error
    print(f"images      {logger.images_directory}")
    print(f"log         {logger.metrics_file}")
    print(f"checkpoint  {save_directory / LATEST} (step {state.step})")
    return code


def open_split(config: Configuration, split: str, batching: Batching) -> VideoDataset:
    """The sequences of one split as the configuration wants them.

    Raises:
        UserError: there are none, a video is refused, or the first sequence cannot be read.
    """
    paths = find_videos(config.data.data_root, split, config.data.dataset_splits)
    dataset = VideoDataset(
        [Video(path) for path in paths],
        crop=config.data.crop,
        size=config.model.representation_network.target_input_size,
        observations_count=batching.observations_count,
        skip_frames=batching.skip_frames,
        observation_stacking=batching.observation_stacking,
        cache=config.data.cache,
    )
    dataset[dataset.sequence(0, batching.observations_count)]  # finds a crop that reaches outside of the frames
    return dataset


def require_known_actions(dataset: VideoDataset, actions_count: int) -> None:
    """`UserError` if a video has true actions other than 0 to `actions_count` - 1, which could not drive the model."""
    for video in dataset.videos:
        for action in set(video.annotations.actions):
            if not 0 <= action < actions_count:
                raise UserError(
                    f"{video.path}: has an action {action}, but training.use_ground_truth_actions needs 0 to "
                    f"{actions_count - 1} (data.actions_count is {actions_count}); raise data.actions_count or number "
                    "the actions from 0"
                )

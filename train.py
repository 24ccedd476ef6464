"""Train a playable video model: `python train.py --config configs/00_breakout_demo.yaml`."""

import torch

from dataset.splits import find_videos
from dataset.video import Video
from dataset.video_dataset import VideoDataset
from evaluation.evaluator import Evaluator
from model.caddy import Caddy
from model.perceptual import load_perceptual_network
from training.objective import Objective
from training.trainer import Trainer
from utils.checkpoint import LATEST
from utils.command import EXIT_DONE, configuration_parser, run_command
from utils.configuration import Batching, Configuration, load_configuration
from utils.device import select_device
from utils.logger import RunLogger


def main() -> int:
    """Train or go on training; returns the exit code."""
    parser = configuration_parser(
        "Learn discrete actions and a playable video model from a folder of unlabelled videos. Run the same command "
        "again to continue an interrupted run from its last checkpoint.",
        "python train.py --config configs/00_breakout_demo.yaml --set training.max_steps=500",
    )
    arguments = parser.parse_args()
    config = load_configuration(arguments.config, arguments.overrides)
    device = select_device(arguments.device)
    torch.manual_seed(config.training.seed)

    perceptual_network = load_perceptual_network() if config.training.loss_weights.need_perceptual_network else None
    if perceptual_network is not None:
        perceptual_network.to(device)
    model = Caddy(config).to(device)
    objective = Objective(config, perceptual_network).to(device)
    evaluator = Evaluator(config, open_split(config, "val", config.evaluation.batching), device, perceptual_network)
    dataset = open_split(config, "train", config.training.batching)

    logger = RunLogger(config)
    try:
        trainer = Trainer(config, model, objective, dataset, evaluator, logger)
        if trainer.resume():
            logger.tell(
                f"continuing {config.logging.run_name} after step {trainer.step} of {config.training.max_steps}"
            )
        code = trainer.train()
    finally:
        logger.close()
    print(f"images      {logger.images_directory}")
    print(f"log         {logger.metrics_file}")
    print(f"checkpoint  {config.logging.save_directory / LATEST} (step {trainer.step})")
    if code != EXIT_DONE:
        print(f"to go on    python train.py --config {arguments.config}")
    return code


def open_split(config: Configuration, split: str, batching: Batching) -> VideoDataset:
    """The sequences of one split as the configuration wants them."""
    paths = find_videos(config.data.data_root, split, config.data.dataset_splits)
    return VideoDataset(
        [Video(path) for path in paths],
        crop=config.data.crop,
        size=config.model.representation_network.target_input_size,
        observations_count=batching.observations_count,
        skip_frames=batching.skip_frames,
        observation_stacking=batching.observation_stacking,
        cache=config.data.cache,
    )


if __name__ == "__main__":
    run_command(main)

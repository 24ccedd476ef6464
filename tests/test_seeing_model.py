"""The seeing model goes the way of every run: trained, evaluated, played, and made into a data set."""

import json
from pathlib import Path

import gymnasium
import numpy as np
import torch

from dataset.video import Video
from evaluation.dataset_builder import build_evaluation_dataset
from playing.environment import ENVIRONMENT_ID
from playing.simulator import load_simulator, play_games
from tests.configurations import SEEING
from tests.synthetic import SIDE, square_configuration, write_square_videos
from training import run
from utils.checkpoint import LATEST


def test_it_is_trained_evaluated_and_played(square: Path) -> None:
    config = square_configuration(square, *SEEING)
    assert run.train(config, "cpu") == 0

    output = config.logging.output_directory
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "eval/reconstruction" in line] == [6, 12]
    terms = [line["train/cross_entropy"] for line in lines if "train/cross_entropy" in line]
    assert terms
    assert np.isfinite(terms).all()

    simulator, _ = load_simulator(config, torch.device("cpu"))
    random = np.random.default_rng(0)
    frames = play_games(
        simulator, random.integers(0, 256, (2, *simulator.stack_shape), np.uint8), np.array([[0, 1], [2, 2]])
    )
    assert frames.shape == (2, 3, SIDE, SIDE, 3)

    environment = gymnasium.make(ENVIRONMENT_ID, checkpoint=str(config.logging.save_directory / LATEST), device="cpu")
    frame, _ = environment.reset(seed=0)
    following = environment.step(1)[0]
    assert frame.shape == following.shape == (SIDE, SIDE, 3)

    write_square_videos(Path(config.data.data_root), {"test": 1})
    build_evaluation_dataset(config, "cpu")
    assert Video(output / "evaluation_dataset/test/00000").num_frames == 4

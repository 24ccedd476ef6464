"""How long a training step takes and what it needs, beside a plain transcription of the method.

python -m benchmarks.train_step --config configs/02_breakout.yaml --set training.batching.batch_size=2
"""

import argparse
import itertools
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.plain_model import plain_caddy
from benchmarks.report import write_report
from dataset.batching import Batch, TrainingSampler, make_loader
from dataset.splits import find_videos
from dataset.video import Video
from dataset.video_dataset import SequenceKey, VideoDataset
from model.caddy import Caddy
from model.perceptual import load_perceptual_network
from training import schedules
from training.objective import Loss, Objective
from utils.command import configuration_parser, positive_int, run_command
from utils.configuration import Configuration, load_configuration
from utils.device import select_device

PHASES = ("data", "forward", "backward", "optimiser")


def main() -> None:
    """Measure both variants in turn, print medians and write them."""
    parser = configuration_parser(
        "Time the phases of a training step, beside a plain transcription of the method.",
        "python -m benchmarks.train_step --config configs/02_breakout.yaml --set training.batching.batch_size=2",
    )
    parser.add_argument("--steps", type=positive_int, default=10, help="measured steps of each variant")
    parser.add_argument("--step", type=positive_int, default=None, help="place in the schedules (default: after pretraining)")
    parser.add_argument("--threads", type=positive_int, default=2, help="CPU threads")
    parser.add_argument("--json", metavar="FILE", help="where to write (default: in benchmarks/results/)")
    arguments = parser.parse_args()
    config = load_configuration(arguments.config, arguments.overrides)
    device = select_device(arguments.device)
    torch.set_num_threads(arguments.threads)

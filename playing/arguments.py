"""The arguments that commands share which take a trained model.

Importing it does not import torch.
"""

import argparse
import itertools
from pathlib import Path

from utils.command import CommandParser, UserError, configuration_parser, non_negative_int
from utils.configuration import Configuration, load_configuration


def playing_parser(description: str, example: str) -> CommandParser:
    """Return a parser with the arguments of a configuration, of starting frames, and of the output folder."""
    parser = starting_parser(description, example)
    parser.add_argument(
        "--play_root", type=Path, default=Path("play_results"), metavar="DIR", help="where what is played is kept"
    )
    return parser


def starting_parser(description: str, example: str) -> CommandParser:
    """Return a parser with the arguments of a configuration and of starting frames."""
    parser = configuration_parser(description, example, takes_checkpoint=True)
    add = parser.add_argument
    add("--initial_frame", metavar="FILE", help="begin from picture.png, video.mp4, or a moment: video.mp4@12.5s")
    add("--seed", type=non_negative_int, default=0, help="another seed begins from other frames (default: 0)")
    return parser


def chosen_model(arguments: argparse.Namespace) -> tuple[Configuration, Path | None]:
    """Return the configuration that `--config` names, else the one stored in `--checkpoint`, and the checkpoint.

    The checkpoint is None without `--checkpoint`: then it is the newest of the run.

    Raises:
        UserError: neither is given, or one of them cannot be used.
    """
    if arguments.checkpoint is None:
        if arguments.config is None:
            raise UserError("the following arguments are required: --config or --checkpoint; see --help")
        return load_configuration(arguments.config, arguments.overrides), None

    from utils.checkpoint import find_checkpoint, load_checkpoint, stored_configuration  # imports torch

    path = find_checkpoint(arguments.checkpoint)
    if arguments.config is not None:
        return load_configuration(arguments.config, arguments.overrides), path
    return stored_configuration(load_checkpoint(path), path, arguments.overrides), path


def chosen_models(arguments: argparse.Namespace) -> list[tuple[Configuration, Path | None]]:
    """Return what `chosen_model` does for each of the lists `--config` and `--checkpoint`, taken in pairs.

    Raises:
        UserError: there is another number of one than of the other, or a pair cannot be used.
    """
    configs, checkpoints = arguments.config or [], arguments.checkpoint or []
    if configs and checkpoints and len(configs) != len(checkpoints):
        raise UserError(
            f"--config names {len(configs)} and --checkpoint {len(checkpoints)}; give as many of both, or leave out one"
        )
    pairs = list(itertools.zip_longest(configs, checkpoints)) or [(None, None)]
    return [
        chosen_model(argparse.Namespace(config=config, checkpoint=checkpoint, overrides=arguments.overrides))
        for config, checkpoint in pairs
    ]

"""Export a trained model to a small file for others to play.

python -m training.release --config configs/00_breakout_demo.yaml --output my_model.pth.tar

The file holds all that play needs: weights in half precision, configuration, number of steps and starting frames, and,
if given here or before, the names of the actions and the frames a second of real time.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from playing.hints import (
    ACTION_NAMES,
    MAX_REAL_TIME_FPS,
    REAL_TIME_FPS,
    is_real_time_fps,
    read_hints,
    require_action_names,
)
from playing.simulator import checkpoint_path
from playing.starting_frames import STARTING_FRAMES
from utils.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from utils.command import UserError, configuration_parser, positive_float, run_command
from utils.configuration import Configuration, load_configuration

KEPT = ("config", "step", STARTING_FRAMES, ACTION_NAMES, REAL_TIME_FPS)


def release(
    config: Configuration,
    output: Path,
    action_names: Sequence[str] | None = None,
    real_time_fps: float | None = None,
) -> None:
    """Write the part of a run's latest checkpoint that play needs to a new file.

    Args:
        config: the run's configuration.
        output: the new file.
        action_names: a name for each action, in the order of the keys; None keeps the checkpoint's.
        real_time_fps: frames a second of real time, above 0, up to 60; None keeps the checkpoint's.

    Raises:
        UserError: the file exists, there is no checkpoint, its weights do not fit into half precision, or the names or
            the frames a second are invalid.
        CheckpointError: the checkpoint is damaged, or the file cannot be written.
    """
    given = _given_hints(config, action_names, real_time_fps)
    if output.exists():
        raise UserError(f"{output}: exists; choose another --output")
    path = checkpoint_path(config)
    checkpoint = load_checkpoint(path)
    weights = half_precision(checkpoint["model"], path)
    kept = {name: checkpoint[name] for name in KEPT if name in checkpoint} | given
    read_hints(kept, path, config.data.actions_count)
    save_checkpoint(output, {"model": weights, **kept})


def half_precision(weights: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint that was loaded from `path`, those that are not whole numbers in float16.

    Raises:
        CheckpointError: one does not fit into half precision.
    """
    halved = {name: _halved(weight) for name, weight in weights.items()}
    if unfit := [name for name, weight in halved.items() if not weight.isfinite().all()]:
        raise CheckpointError(
            f"{path}: {unfit[0]} is too large for half precision; train on, or give away {path} itself"
        )
    return halved


def _given_hints(
    config: Configuration, action_names: Sequence[str] | None, real_time_fps: float | None
) -> dict[str, list[str] | float]:
    """The hints given on the command line, by the names under which they are stored.

    Raises:
        UserError: a hint is invalid.
    """
    given: dict[str, list[str] | float] = {}
    if action_names is not None:
        require_action_names(action_names, config.data.actions_count)
        given[ACTION_NAMES] = list(action_names)
    if real_time_fps is not None:
        if not is_real_time_fps(real_time_fps):
            raise UserError(f"--{REAL_TIME_FPS} {real_time_fps:g}: give a number above 0, up to {MAX_REAL_TIME_FPS}")
        given[REAL_TIME_FPS] = real_time_fps
    return given


def _halved(weight: Tensor) -> Tensor:
    return weight.to(torch.float16) if weight.is_floating_point() else weight


def main() -> None:
    """Run the command."""
    parser = configuration_parser(
        "Write the weights of a trained run in half precision, with its starting frames, to one small file that plays "
        "by itself at checkpoints/<run_name>/latest.pth.tar.",
        "python -m training.release --config configs/00_breakout_demo.yaml --output my_model.pth.tar",
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="FILE", help="the file to write, a new one")
    add(
        "--action_names",
        nargs="+",
        metavar="NAME",
        help="what the actions are called, in the order of the keys, such as left stay right (default: kept)",
    )
    add(
        "--real_time_fps",
        type=positive_float,
        metavar="FPS",
        help="have play begin in real time with so many frames a second, up to 60 (default: kept)",
    )
    arguments = parser.parse_args()
    config = load_configuration(arguments.config, arguments.overrides)
    release(config, arguments.output, arguments.action_names, arguments.real_time_fps)
    print(f"{arguments.output}  {arguments.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run_command(main)

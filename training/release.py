"""Make a trained model small enough to give away.

python -m training.release --config configs/00_breakout_demo.yaml --output my_model.pth.tar

The file plays by itself: weights in half precision, configuration, number of steps and starting frames. What only
training needs is left out.
"""

from pathlib import Path

import torch
from torch import Tensor

from dataset.starting_frames import STARTING_FRAMES
from playing.simulator import checkpoint_path
from utils.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from utils.command import UserError, configuration_parser, run_command
from utils.configuration import Configuration, load_configuration

KEPT = ("config", "step", STARTING_FRAMES)


def release(config: Configuration, output: Path) -> None:
    """Write what play needs of a run's latest checkpoint to a new file.

    Raises:
        UserError: the file exists, there is no checkpoint, or its weights do not fit into half precision.
        CheckpointError: the checkpoint is damaged, or the file cannot be written.
    """
    if output.exists():
        raise UserError(f"{output}: exists; choose another --output")
    path = checkpoint_path(config)
    checkpoint = load_checkpoint(path)
    weights = {name: _halved(weight) for name, weight in checkpoint["model"].items()}
    if unfit := [name for name, weight in weights.items() if not weight.isfinite().all()]:
        raise CheckpointError(
            f"{path}: {unfit[0]} is too large for half precision; train on, or give away {path} itself"
        )
    save_checkpoint(output, {"model": weights, **{name: checkpoint[name] for name in KEPT if name in checkpoint}})


def _halved(weight: Tensor) -> Tensor:
    return weight.to(torch.float16) if weight.is_floating_point() else weight


def main() -> None:
    """Run the command."""
    parser = configuration_parser(
        "Write the weights of a trained run in half precision, with its starting frames, to one small file that plays "
        "by itself at checkpoints/<run_name>/latest.pth.tar.",
        "python -m training.release --config configs/00_breakout_demo.yaml --output my_model.pth.tar",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the file to write, a new one")
    arguments = parser.parse_args()
    release(load_configuration(arguments.config, arguments.overrides), arguments.output)
    print(f"{arguments.output}  {arguments.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run_command(main)

"""The commands by name, as `playable-video NAME` runs them once the project is installed.

In the repository each is a script, `python train.py`, or a module, `python -m training.release`.
"""

import re
from dataclasses import dataclass

PROGRAM = "playable-video"

PACKAGE_PREFIX = __name__.removesuffix("utils.command_names")
"""What the names of modules begin with: "playable_video." in the installed package, "" in the repository."""


@dataclass(frozen=True)
class Command:
    """A command: its name, the module whose `main` it runs, and what it does."""

    name: str
    module: str
    description: str

    @property
    def in_repository(self) -> str:
        """How the repository runs it: `python play.py` or `python -m training.release`."""
        return f"python -m {self.module}" if "." in self.module else f"python {self.module}.py"


COMMANDS = (
    Command("prepare", "dataset.acquisition.prepare", "make a data set and configurations from footage"),
    Command("record", "dataset.acquisition.record_atari", "record a data set of Atari play"),
    Command("convert", "dataset.acquisition.convert_video_directory", "make a data set from a folder of videos"),
    Command("inspect", "dataset.inspect", "look at a data set: a summary and a contact sheet"),
    Command("shard", "dataset.acquisition.shard", "pack a data set for streaming"),
    Command("train", "train", "learn actions and a model from a data set"),
    Command("play", "play", "play a trained model with the number keys, or a script of actions"),
    Command("watch", "playing.watch", "watch a model play while it is trained"),
    Command("interpolate", "interpolate", "play what lies between two actions, or each action"),
    Command("export", "export", "make a page that plays a trained model in a browser"),
    Command("build", "build_evaluation_dataset", "reconstruct the test videos with a trained model"),
    Command("evaluate", "evaluate_dataset", "measure the reconstructed videos against the true ones"),
    Command("compare", "evaluation.compare", "compare evaluations with each other and with the paper"),
    Command("playability", "evaluation.playability", "measure how well a trained model can be played"),
    Command("share", "sharing.share", "put a trained model on the Hugging Face Hub, or fetch one"),
    Command("release", "training.release", "make a small checkpoint to give away"),
    Command("export_lerobot", "dataset.acquisition.export_lerobot", "export a data set with its actions to LeRobot"),
)


def as_run_here(text: str) -> str:
    """Return a text with commands of the repository as they are run here: unchanged there, or as they are installed.

    `python play.py --config configs/02_breakout.yaml` then is `playable-video play --config 02_breakout`.
    """
    return as_installed(text) if PACKAGE_PREFIX else text


def as_installed(text: str) -> str:
    """Return a text with the commands of the repository as they are run once they are installed."""
    for command in COMMANDS:
        text = re.sub(rf"{re.escape(command.in_repository)}(?![\w.])", f"{PROGRAM} {command.name}", text)
        text = re.sub(rf"(?<![\w./-]){command.module}\.py\b", f"{PROGRAM} {command.name}", text)
    text = text.replace("python -m dataset.", "python -m playable_video.dataset.")
    return re.sub(r"(?<![\w./-])configs/(?:evaluation/)?(0\d_\w+)\.yaml", r"\1", text)

"""Watch a model play while it is trained: `python -m playing.watch --config configs/00_breakout_demo.yaml`."""

from pathlib import Path

import numpy as np
import torch

from playing.arguments import chosen_model, starting_parser
from playing.hints import read_hints
from playing.manner import Manner
from playing.options import PlayOptions
from playing.recording import Header
from playing.run import choose_manner
from playing.session import Session
from playing.simulator import build_simulator, checkpoint_path
from playing.starting_frames import choose_starting_frames
from playing.window import Window, require_screen
from utils.checkpoint import load_checkpoint
from utils.command import positive_float, run_command
from utils.configuration import Configuration
from utils.device import ANOTHER_DEVICE, explaining_lack_of_memory, select_device

HELD_STEPS = 8
"""Steps for which each of the random actions is held that are taken while no key is."""


def main() -> None:
    """Run the command."""
    parser = starting_parser(
        "Watch a model play while it is trained: random actions, or those of the number keys (H shows all keys). When "
        "training saves a checkpoint, the game begins again with it. Nothing is recorded.",
        "python -m playing.watch --config configs/00_breakout_demo.yaml",
    )
    parser.add_argument("--fps", type=positive_float, help="frames a second (default: what the checkpoint says, or 10)")
    arguments = parser.parse_args()
    config, chosen = chosen_model(arguments)
    require_screen()
    device = select_device(arguments.device)
    with explaining_lack_of_memory(device, ANOTHER_DEVICE):
        watched = WatchedCheckpoint(config, checkpoint_path(config, chosen), device)
        open_window(watched, arguments.initial_frame, arguments.seed, arguments.fps).run()


class WatchedCheckpoint:
    """A checkpoint that training replaces, as a whole each time.

    Attributes:
        contents: what was loaded last.
        simulator: its model.
    """

    def __init__(self, config: Configuration, path: Path, device: torch.device) -> None:
        """Load the checkpoint at `path`.

        Raises:
            CheckpointError: it cannot be read, or is of another model.
        """
        self.config = config
        self.path = path
        self.device = device
        self._load()

    @property
    def title(self) -> str:
        """The run and the step of training."""
        return f"{self.config.logging.run_name}, step {self.contents.get('step', 'unknown')}"

    def load_newer(self) -> bool:
        """Load the checkpoint if it was replaced since; return whether it was.

        Raises:
            CheckpointError: it is damaged, or of another model.
        """
        if self._version() in (None, self._loaded):
            return False
        self._load()
        return True

    def _load(self) -> None:
        self._loaded = self._version()  # first: it may be replaced meanwhile
        self.contents = load_checkpoint(self.path)
        self.simulator = build_simulator(self.config, self.contents, self.path, self.device)

    def _version(self) -> tuple[int, int] | None:
        """What differs between files that replaced each other; None where there is none."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns


def open_window(watched: WatchedCheckpoint, initial_frame: str | None, seed: int, fps: float | None) -> "WatchWindow":
    """Open the window.

    Args:
        watched: the checkpoint.
        initial_frame: where games start, as `choose_starting_frames` takes it.
        seed: another one begins from other frames.
        fps: frames a second; None for what the checkpoint says.

    Raises:
        UserError: there is nothing to start from, or no screen.
    """
    config = watched.config
    draw, _ = choose_starting_frames(config, initial_frame, watched.contents)
    hints = read_hints(watched.contents, watched.path, config.data.actions_count)
    manner = choose_manner(PlayOptions(windowed=True, real_time=True, fps=fps), hints)
    header = Header(config.logging.run_name, str(watched.path), "", watched.device.type, seed, manner.fps)
    return WatchWindow(watched, Session(watched.simulator, draw, header), manner)


class WatchWindow(Window):
    """A window in which the newest checkpoint plays, by itself while no key is held."""

    def __init__(self, watched: WatchedCheckpoint, session: Session, manner: Manner) -> None:
        """Open the window.

        Raises:
            UserError: there is no screen.
        """
        super().__init__(session, manner)
        self._watched = watched
        self._random = np.random.default_rng(session.header.seed)
        self.entitle(watched.title)

    def update(self) -> None:
        """Begin again with a newer checkpoint if there is one, choose what to do while no key is held, and go on.

        Raises:
            CheckpointError: the newer checkpoint is damaged, or of another model.
        """
        if self._watched.load_newer():
            self.session.simulator = self._watched.simulator
            self.controls.begin_again()
            self.entitle(self._watched.title)
        if self.controls.idle_action is None or self.session.game.num_steps % HELD_STEPS == 0:
            self.controls.idle_action = int(self._random.integers(1, self.session.simulator.actions_count + 1))
        super().update()


if __name__ == "__main__":
    run_command(main)

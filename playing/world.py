"""A trained model to play from Python: start somewhere, take actions, get frames.

    world = load("checkpoints/00_breakout_play/latest.pth.tar")
    frame = world.start()
    frame = world.step(0)
    frames = world.play([0, 0, 2])

Dimensions: T actions, K actions to choose from, S stacked frames in an observation, H x W pixels.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from playing.hints import read_hints
from playing.simulator import Moment, Simulator, build_simulator
from playing.starting_frames import StartingFrames, choose_starting_frames, picture_stack
from utils.checkpoint import find_checkpoint, load_checkpoint, stored_configuration
from utils.command import UserError
from utils.configuration import Configuration, load_configuration
from utils.device import select_device


class World:
    """One game of a trained model, from `load`.

    Attributes:
        config: the configuration of the model.
        simulator: the model, which plays several games at once and keeps no state.
        num_actions: K.
        action_names: the names of the K actions; None if the checkpoint has none.
    """

    def __init__(self, config: Configuration, simulator: Simulator, checkpoint: dict[str, Any], path: Path) -> None:
        """Wrap the model of a checkpoint that was loaded from `path`."""
        self.config = config
        self.simulator = simulator
        self.num_actions = simulator.actions_count
        self.action_names = read_hints(checkpoint, path, self.num_actions).action_names
        self._origins = {name: value for name, value in checkpoint.items() if name != "model"}
        self._moment: Moment | None = None

    @property
    def frame(self) -> np.ndarray:
        """The current frame, uint8 (H, W, 3).

        Raises:
            UserError: no game has started yet.
        """
        frame: np.ndarray = self._present().frames[0]
        return frame

    def start(self, picture: str | Path | np.ndarray | None = None, seed: int = 0) -> np.ndarray:
        """Start a game, and return its first frame.

        Args:
            picture: where to start: uint8 (H, W, 3) of any size, the path of a picture, or a moment of a video such as
                `video.mp4@12.5s`. None draws from the test or validation videos if the configuration's data set exists,
                else from the frames stored in the checkpoint.
            seed: another one draws others.

        Returns:
            uint8 (H, W, 3), of the model's frame size.

        Raises:
            UserError: the picture cannot be read, or there is nothing to draw from.
        """
        if isinstance(picture, np.ndarray):
            stack = picture_stack(self.config, Image.fromarray(picture))
        elif picture is not None:
            stack = self.starting_frames(str(picture))(np.random.default_rng(seed))
        else:
            stack = self._drawn(np.random.default_rng(seed))
        self._moment = self.simulator.start(stack[np.newaxis])
        return self.frame

    def step(self, action: int) -> np.ndarray:
        """Take an action, 0 to K - 1, and return the frame that follows, uint8 (H, W, 3).

        Raises:
            UserError: the model does not have this action, or no game has started yet.
        """
        if not 0 <= action < self.num_actions:
            raise UserError(f"action {action}: the actions of this model are 0 to {self.num_actions - 1}")
        self._moment = self.simulator.step(self._present(), np.array([action]))
        return self.frame

    def play(self, actions: Sequence[int]) -> np.ndarray:
        """Take actions, and return the frame that follows from each: uint8 (T, H, W, 3).

        Raises:
            UserError: as `step`.
        """
        frames = [self.step(action) for action in actions]
        return np.stack(frames) if frames else np.empty((0, *self.simulator.stack_shape[1:]), np.uint8)

    def starting_frames(self, initial_frame: str | None = None) -> StartingFrames:
        """Return what draws the frames that games start from: `choose_starting_frames` for this checkpoint."""
        return choose_starting_frames(self.config, initial_frame, self._origins)[0]

    @cached_property
    def _drawn(self) -> StartingFrames:
        return self.starting_frames()

    def _present(self) -> Moment:
        if self._moment is None:
            raise UserError("there is no game yet; call start() first")
        return self._moment


def load(checkpoint: str | Path, device: str = "auto", config: str | Path | None = None) -> World:
    """Return the model of a checkpoint, ours or the authors', ready to start.

    Args:
        checkpoint: a `latest.pth.tar`, its folder, a folder that was shared, `hub:owner/name` of the Hub, or the name
            of a run that comes with the project.
        device: `auto`, `cpu`, `cuda` or `mps`.
        config: the YAML file of the run, or the name of one that comes with the project. It is needed if the checkpoint
            has no configuration, and replaces the one that it has.

    Raises:
        UserError: something is missing, damaged or invalid.
    """
    path = find_checkpoint(checkpoint)
    contents = load_checkpoint(path)
    configuration = stored_configuration(contents, path) if config is None else load_configuration(config)
    return World(configuration, build_simulator(configuration, contents, path, select_device(device)), contents, path)


from_pretrained = load
"""The same, by the name that users of the Hub look for."""

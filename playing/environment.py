"""A trained model as a gymnasium environment, which importing this module registers.

    import gymnasium
    import playing.environment

    environment = gymnasium.make("PlayableVideo-v0", checkpoint="checkpoints/00_breakout_demo/latest.pth.tar")
    environments = gymnasium.make_vec("PlayableVideo-v0", num_envs=8, checkpoint=...)  # all games in one forward pass

Observations are the newest frames. The model has no rewards and no ends: rewards are always 0, and no game terminates.

Dimensions: B games side by side, S stacked frames in an observation, K actions, H x W pixels.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

try:
    import gymnasium
except ImportError as error:
    raise ImportError(
        "playing.environment needs gymnasium, which is not installed; install it: pip install gymnasium, or "
        '"playable-video[gymnasium]"'
    ) from error
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.spaces import Box, Discrete
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from playing.simulator import Moment
from playing.world import load
from utils.command import UserError

ENVIRONMENT_ID = "PlayableVideo-v0"
FRAME_RATE = 10
"""Frames a second in the window and in videos of a game."""

MIN_WINDOW_HEIGHT = 480
"""Minimum height of the window in pixels; frames are enlarged by the smallest whole factor that reaches it."""


class Games:
    """Games of one checkpoint side by side, each with its own random generator."""

    def __init__(
        self, checkpoint: str | Path, config: str | Path | None, initial_frame: str | None, device: str
    ) -> None:
        """Load a checkpoint; the arguments are those of `PlayableVideoEnv`."""
        world = load(checkpoint, device, config)
        self._simulator = world.simulator
        self._draw = world.starting_frames(initial_frame)
        self.action_names = world.action_names
        self._moment: Moment | None = None
        self.observation_space = Box(0, 255, self._simulator.stack_shape[1:], np.uint8)
        self.action_space = Discrete(world.num_actions)

    @property
    def frames(self) -> np.ndarray:
        """The current frames, uint8 (B, H, W, 3), as a new array.

        Raises:
            ResetNeeded: no game has started yet.
        """
        return np.ascontiguousarray(self._present().frames)

    def start(self, randoms: list[np.random.Generator]) -> None:
        """Start B games from starting frames drawn with B random generators."""
        self._moment = self._simulator.start(np.stack([self._draw(random) for random in randoms]))

    def act(self, actions: np.ndarray) -> None:
        """Take an action in each game.

        Args:
            actions: (B,) integers from 0 to K - 1.

        Raises:
            ResetNeeded: no game has started yet.
        """
        self._moment = self._simulator.step(self._present(), actions.astype(np.int64))

    def _present(self) -> Moment:
        if self._moment is None:
            raise ResetNeeded("there is no game yet; call reset() first")
        return self._moment


class PlayableVideoEnv(gymnasium.Env[np.ndarray, np.int64]):
    """One game.

    Observations are frames, uint8 (H, W, 3); actions are 0 to K - 1.

    Attributes:
        action_names: the names of the K actions; None if the checkpoint has none.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": FRAME_RATE}  # noqa: RUF012

    def __init__(
        self,
        checkpoint: str | Path,
        config: str | Path | None = None,
        initial_frame: str | None = None,
        device: str = "auto",
        render_mode: str | None = None,
    ) -> None:
        """Load a checkpoint.

        Args:
            checkpoint: a `latest.pth.tar`, ours or the authors', its folder, or the name of a run that comes with the
                project.
            config: the YAML file of the run, needed if the checkpoint has no configuration; overrides the checkpoint's.
            initial_frame: `picture.png` or `video.mp4@12.5s` to start each game from. None draws from the test or
                validation videos if the configuration's data set exists, else from the frames in the checkpoint.
            device: `auto`, `cpu`, `cuda` or `mps`.
            render_mode: `rgb_array` to return frames, `human` to show them in a window, `render_fps` a second; or None.

        Raises:
            UserError: something is missing, damaged or invalid, or there is no screen for a window.
        """
        _check_render_mode(render_mode, self.metadata)
        self.render_mode = render_mode
        self._games = Games(checkpoint, config, initial_frame, device)
        self.observation_space = self._games.observation_space
        self.action_space = self._games.action_space
        self.action_names = self._games.action_names
        self._window = FrameWindow(*self.observation_space.shape[:2]) if render_mode == "human" else None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a game from a starting frame drawn with the seed; there are no options."""
        super().reset(seed=seed, options=options)
        self._games.start([self.np_random])
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take an action; return the next frame, reward 0, and neither terminated nor truncated.

        Raises:
            InvalidAction: the model does not have this action.
            ResetNeeded: no game has started yet.
        """
        _check_action(action, self.action_space)
        self._games.act(np.array([action]))
        return self._observe(), 0.0, False, False, {}

    def render(self) -> np.ndarray | None:
        """Return the frame, uint8 (H, W, 3), in mode `rgb_array`; else None, since the window of `human` shows it."""
        return self._games.frames[0] if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _observe(self) -> np.ndarray:
        frame: np.ndarray = self._games.frames[0]
        if self._window is not None:
            self._window.show(frame)
        return frame


class PlayableVideoVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """B games that advance together, in one forward pass.

    Observations are uint8 (B, H, W, 3), actions (B,). Game i with seed s equals that of `PlayableVideoEnv` with seed
    s + i. All games restart together: on `reset`, and at the step after `max_episode_steps` has truncated them.

    Attributes:
        action_names: the names of the K actions; None if the checkpoint has none.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": FRAME_RATE,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        checkpoint: str | Path,
        config: str | Path | None = None,
        initial_frame: str | None = None,
        device: str = "auto",
        render_mode: str | None = None,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
    ) -> None:
        """Load a checkpoint.

        Args:
            checkpoint: see `PlayableVideoEnv`.
            config: see `PlayableVideoEnv`.
            initial_frame: see `PlayableVideoEnv`.
            device: see `PlayableVideoEnv`.
            render_mode: `rgb_array` or None.
            num_envs: number of games, B.
            max_episode_steps: number of steps after which games are truncated; None for never.

        Raises:
            UserError: something is missing, damaged or invalid.
        """
        _check_render_mode(render_mode, self.metadata)
        self.render_mode = render_mode
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self._games = Games(checkpoint, config, initial_frame, device)
        self._randoms = [seeding.np_random()[0] for _ in range(num_envs)]
        self._num_steps = 0
        self.single_observation_space = self._games.observation_space
        self.single_action_space = self._games.action_space
        self.action_names = self._games.action_names
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start all games from starting frames drawn with the seed; there are no options."""
        super().reset(seed=seed, options=options)
        if seed is not None:
            self._randoms = [seeding.np_random(seed + game)[0] for game in range(self.num_envs)]
        self._num_steps = 0
        self._games.start(self._randoms)
        return self._games.frames, {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take an action in each game; return the next frames, rewards (B,) of 0, none terminated, truncated (B,).

        Raises:
            InvalidAction: the model does not have one of the actions.
            ResetNeeded: no game has started yet.
        """
        actions = np.asarray(actions)
        _check_action(actions, self.action_space)
        if self._num_steps == self.max_episode_steps:
            frames, _ = self.reset()
        else:
            self._games.act(actions)
            self._num_steps += 1
            frames = self._games.frames
        is_truncated = self._num_steps == self.max_episode_steps
        return (
            frames,
            np.zeros(self.num_envs),
            np.zeros(self.num_envs, np.bool_),
            np.full(self.num_envs, is_truncated),
            {},
        )

    def render(self) -> tuple[np.ndarray, ...] | None:
        """Return the frames, B of uint8 (H, W, 3), in mode `rgb_array`; else None."""
        return tuple(self._games.frames) if self.render_mode == "rgb_array" else None


class FrameWindow:
    """A window that shows frames, at most `FRAME_RATE` a second."""

    def __init__(self, height: int, width: int) -> None:
        """Open a window for frames of a size in pixels.

        Raises:
            UserError: there is no screen.
        """
        import pygame  # imported here since it takes a moment, and only a window needs it

        from playing.window import require_screen

        try:
            require_screen()
        except UserError as error:
            raise UserError("render_mode 'human' finds no screen to open a window on; use 'rgb_array'") from error
        self._pygame = pygame
        scale = math.ceil(MIN_WINDOW_HEIGHT / height)
        pygame.display.init()
        self._screen = pygame.display.set_mode((scale * width, scale * height))
        pygame.display.set_caption(ENVIRONMENT_ID)
        self._clock = pygame.time.Clock()

    def show(self, frame: np.ndarray) -> None:
        """Show a frame, uint8 (H, W, 3), once the previous one has been shown for 1 / `FRAME_RATE` seconds."""
        picture = self._pygame.surfarray.make_surface(frame.swapaxes(0, 1))
        self._pygame.transform.scale(picture, self._screen.get_size(), self._screen)
        self._pygame.event.pump()
        self._clock.tick(FRAME_RATE)
        self._pygame.display.flip()

    def close(self) -> None:
        """Close the window."""
        self._pygame.display.quit()


def _check_render_mode(render_mode: str | None, metadata: dict[str, Any]) -> None:
    if render_mode not in (None, *metadata["render_modes"]):
        raise UserError(f"render_mode {render_mode!r}: use one of {', '.join(metadata['render_modes'])}, or None")


def _check_action(action: Any, space: gymnasium.Space[Any]) -> None:
    if not space.contains(action):
        raise InvalidAction(f"{action!r} is not in the action space {space}")


gymnasium.register(
    id=ENVIRONMENT_ID,
    entry_point=f"{__name__}:{PlayableVideoEnv.__name__}",
    vector_entry_point=f"{__name__}:{PlayableVideoVectorEnv.__name__}",
)

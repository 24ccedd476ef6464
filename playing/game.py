"""One sequence in play.

Dimensions: S stacked frames in an observation, D action-space dimension, H x W pixels.
"""

from collections import deque

import numpy as np

from playing.simulator import Moment, Simulator

MAX_REWINDS = 500
"""Number of steps that can be undone; earlier moments are dropped, since each holds a recurrent state."""


class Game:
    """A game: a starting frame, and the frames and states that followed from the actions since."""

    def __init__(self, simulator: Simulator, stack: np.ndarray, seed: int) -> None:
        """Start a game.

        Args:
            simulator: the model.
            stack: uint8 (S, H, W, 3), the frames of the first observation, oldest first.
            seed: seed of the noise.
        """
        self.simulator = simulator
        self.seed = seed
        self.num_steps = 0
        self._moments: deque[Moment] = deque([simulator.start(stack[np.newaxis])], maxlen=MAX_REWINDS + 1)

    @property
    def frame(self) -> np.ndarray:
        """The current frame, uint8 (H, W, 3)."""
        return self._moments[-1].frames[0]

    def act(self, action: int, noise: bool = False) -> None:
        """Take an action, 0 to K - 1; with noise its variation is drawn from N(0, I), else it is zero.

        The noise of a step depends only on the seed and the step's number, so that a step that is undone and taken
        again gives the same frame.
        """
        random = np.random.default_rng((self.seed, self.num_steps))
        variation = random.standard_normal((1, self.simulator.action_space_dimension)) if noise else None
        self._moments.append(self.simulator.step(self._moments[-1], np.array([action]), variation))
        self.num_steps += 1

    @property
    def can_rewind(self) -> bool:
        """Whether there is a step to undo."""
        return len(self._moments) > 1

    def rewind(self) -> None:
        """Undo the last step.

        Raises:
            IndexError: there is none.
        """
        if not self.can_rewind:
            raise IndexError("no step to take back")
        self._moments.pop()
        self.num_steps -= 1

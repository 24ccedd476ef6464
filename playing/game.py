"""One sequence that is being played.

Dimensions: S stacked frames in an observation, D action-space dimension, H x W pixels.
"""

from collections import deque

import numpy as np

from playing.simulator import Moment, Simulator

MAX_REWINDS = 500
"""How many steps can be taken back: earlier moments are forgotten, since each holds a recurrent state."""


class Game:
    """A starting frame and what the actions since have made of it."""

    def __init__(self, simulator: Simulator, stack: np.ndarray, seed: int) -> None:
        """Start.

        Args:
            simulator: the model.
            stack: uint8 (S, H, W, 3), the frames of the first observation, oldest first.
            seed: what the noise follows from.
        """
        self.simulator = simulator
        self.seed = seed
        self.num_steps = 0
        self._moments: deque[Moment] = deque([simulator.start(stack[np.newaxis])], maxlen=MAX_REWINDS + 1)

    @property
    def frame(self) -> np.ndarray:
        """What is seen now, uint8 (H, W, 3)."""
        return self._moments[-1].frames[0]

    def act(self, action: int, noise: bool = False) -> None:
        """Take an action, 0 to K - 1; with noise its variation is drawn from N(0, I), else zero.

        The noise of a step depends on the seed and the number of the step alone, so that a step that is taken back and
        taken again is the same.
        """
        random = np.random.default_rng((self.seed, self.num_steps))
        variation = random.standard_normal((1, self.simulator.action_space_dimension)) if noise else None
        self._moments.append(self.simulator.step(self._moments[-1], np.array([action]), variation))
        self.num_steps += 1

    @property
    def can_rewind(self) -> bool:
        """Whether there is a step to take back."""
        return len(self._moments) > 1

    def rewind(self) -> None:
        """Take the last step back. `IndexError` if there is none."""
        if not self.can_rewind:
            raise IndexError("no step to take back")
        self._moments.pop()
        self.num_steps -= 1

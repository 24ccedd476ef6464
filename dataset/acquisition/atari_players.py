"""Scripted players of Atari games for recordings.

A player sees the console's memory, never the screen. The Breakout addresses are those of Anand et al., "Unsupervised
State Representation Learning in Atari" (NeurIPS 2019); the offsets from memory values to screen pixels were measured.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from dataset.acquisition.atari_emulator import ale_py


class Player(Protocol):
    """Chooses an action at every step of one video."""

    action_names: tuple[str, ...]
    """Names of the recorded action indices, in order."""

    def choose(self, memory: np.ndarray) -> tuple[int, ale_py.Action]:
        """Return the action index to record and the joystick position that performs it.

        `memory` holds the console's 128 bytes, (128,) uint8, before the action.
        """

    def agent_position(self, memory: np.ndarray) -> tuple[float, float] | None:
        """Return the centre (x, y) of the object that the player moves, in screen pixels from the top left, or None."""


class RandomPlayer:
    """Player of any game that holds each random action for a random number of steps."""

    MAX_HOLD_STEPS = 8

    def __init__(self, joystick_actions: Sequence[ale_py.Action], random: np.random.Generator):
        """Create a player with the game's `joystick_actions`; their indices are the recorded actions."""
        self.action_names = tuple(action.name.lower() for action in joystick_actions)
        self._joystick_actions = joystick_actions
        self._random = random
        self._action = 0
        self._hold_steps = 0

    def choose(self, memory: np.ndarray) -> tuple[int, ale_py.Action]:  # noqa: ARG002
        """Return the action index, in [0, number of joystick actions), and its joystick position."""
        if self._hold_steps == 0:
            self._action = int(self._random.integers(len(self._joystick_actions)))
            self._hold_steps = int(self._random.integers(1, self.MAX_HOLD_STEPS, endpoint=True))
        self._hold_steps -= 1
        return self._action, self._joystick_actions[self._action]

    def agent_position(self, memory: np.ndarray) -> None:
        """Return None: the object the joystick moves differs between games."""


class BreakoutPlayer:
    """Player that explores while the ball is far and follows it, with errors, when it is about to land.

    Every action thus occurs in every situation, and the ball still stays in play. The player moves towards a wall only
    where the paddle has room for a visible move, even if not a full one: at the wall, left and right would look like
    staying, and without moves cut short by a wall a model could not learn where walls are. (From the right wall the
    paddle starts a step late.) The distances hold for steps of four emulator frames.
    """

    STAY, LEFT, RIGHT = range(3)
    action_names: tuple[str, ...] = ("stay", "left", "right")

    PADDLE_X, BALL_X, BALL_Y = 72, 99, 101
    """Memory addresses. `BALL_Y` is 0 while no ball is in play."""

    LEFT_WALL, RIGHT_WALL = 8, 152
    LEFTMOST, RIGHTMOST = 16, 152
    PADDLE_Y = 192
    """Screen pixels: inner edges of the walls, which bound the ball; extreme positions of the paddle's centre, the
    rightmost half under the wall; and its vertical centre."""

    ROOM = 5
    """Minimum distance from the wall for a visible move, in pixels."""

    SPEED = 6
    """Pixels that a moving paddle travels before the frame is captured from which the move is seen."""

    SLIDE = 11
    """Pixels that a moving paddle slides after its release."""

    REACH = 10
    """Distance in pixels between landing point and paddle centre up to which the paddle need not move."""

    FOLLOW_STEPS = 10
    ERROR_RATE = 0.2
    """Steps before landing at which following begins, and the share of random decisions while following."""

    MAX_HOLD_STEPS = 3
    STAYING_RATE = 0.23
    """Longest hold of an exploring action, and the share of exploring decisions to stay.

    Together with the stays while following, they make all three actions about equally frequent.
    """

    def __init__(self, random: np.random.Generator):
        self._random = random
        self._action = self.STAY
        self._hold_steps = 0
        self._last_ball: tuple[int, int] | None = None

    def choose(self, memory: np.ndarray) -> tuple[int, ale_py.Action]:
        """Return the action index, 0 (stay), 1 (left) or 2 (right), and its joystick position.

        While no ball is in play, the player stays and presses the button, which serves the ball.
        """
        if not memory[self.BALL_Y]:
            self._action, self._hold_steps, self._last_ball = self.STAY, 0, None
            return self.STAY, ale_py.Action.FIRE

        ball = int(memory[self.BALL_X]) - 48, int(memory[self.BALL_Y]) + 11
        paddle, _ = self.agent_position(memory)
        landing = self._landing(ball)
        visible = self._visible_actions(paddle)
        self._last_ball = ball

        if landing is not None and self._random.random() >= self.ERROR_RATE:
            action = self._action_towards(landing, paddle)
            self._action, self._hold_steps = action if action in visible else self.STAY, 0
        elif self._hold_steps == 0 or self._action not in visible:
            _, *moves = visible
            stays = not moves or self._random.random() < self.STAYING_RATE
            self._action = self.STAY if stays else moves[self._random.integers(len(moves))]
            self._hold_steps = int(self._random.integers(self.MAX_HOLD_STEPS))
        else:
            self._hold_steps -= 1
        return self._action, (ale_py.Action.NOOP, ale_py.Action.LEFT, ale_py.Action.RIGHT)[self._action]

    def agent_position(self, memory: np.ndarray) -> tuple[float, float]:
        """Return the centre (x, y) of the paddle in screen pixels: x in [16, 152], y always 192."""
        return float(memory[self.PADDLE_X]) - 39, float(self.PADDLE_Y)

    def _visible_actions(self, paddle: float) -> list[int]:
        """Return the action to stay, and the moves that have room to be visible."""
        room = {self.LEFT: paddle - self.LEFTMOST, self.RIGHT: self.RIGHTMOST - paddle}
        needed = {action: self.ROOM + self.SPEED * (action == self._action) for action in room}
        return [self.STAY] + [action for action in room if room[action] >= needed[action]]

    def _landing(self, ball: tuple[int, int]) -> float | None:
        """Predict the x at which the ball reaches the paddle's row, with bounces; None if not within `FOLLOW_STEPS`."""
        if self._last_ball is None:
            return None
        dx, dy = ball[0] - self._last_ball[0], ball[1] - self._last_ball[1]
        if not 0 <= self.PADDLE_Y - ball[1] <= self.FOLLOW_STEPS * dy:
            return None
        if dy == 0:
            return float(ball[0])
        width = self.RIGHT_WALL - self.LEFT_WALL
        unfolded = (ball[0] + dx * (self.PADDLE_Y - ball[1]) / dy - self.LEFT_WALL) % (2 * width)
        return self.LEFT_WALL + min(unfolded, 2 * width - unfolded)

    def _action_towards(self, landing: float, paddle: float) -> int:
        resting_place = paddle + {self.STAY: 0, self.LEFT: -self.SLIDE, self.RIGHT: self.SLIDE}[self._action]
        if abs(landing - resting_place) <= self.REACH:
            return self.STAY
        return self.LEFT if landing < resting_place else self.RIGHT

"""Players that press the joystick while an Atari game is recorded.

A player sees the console's memory, never the screen. The Breakout addresses are those of Anand et al., "Unsupervised
State Representation Learning in Atari" (NeurIPS 2019); the shifts from memory to screen pixels were measured.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from ale_py import Action


class Player(Protocol):
    """Chooses an action at every step of one video."""

    action_names: tuple[str, ...]
    """What the recorded action indices mean, in their order."""

    def choose(self, memory: np.ndarray) -> tuple[int, Action]:
        """Return the action index to record and the joystick position that carries it out.

        `memory` holds the console's 128 bytes, (128,) uint8, as they are before the action.
        """

    def agent_position(self, memory: np.ndarray) -> tuple[float, float] | None:
        """Return the centre (x, y) of what the player moves, in screen pixels from the top left corner, or None."""


class RandomPlayer:
    """Holds a random action for a random number of steps, then another one. Plays any game."""

    MAX_HOLD_STEPS = 8

    def __init__(self, joystick_actions: Sequence[Action], random: np.random.Generator):
        """`joystick_actions` is what the game understands; the position in it is the recorded action."""
        self.action_names = tuple(action.name.lower() for action in joystick_actions)
        self._joystick_actions = joystick_actions
        self._random = random
        self._action = 0
        self._hold_steps = 0

    def choose(self, memory: np.ndarray) -> tuple[int, Action]:  # noqa: ARG002
        """Return the action index, in [0, number of joystick actions), and its joystick position."""
        if self._hold_steps == 0:
            self._action = int(self._random.integers(len(self._joystick_actions)))
            self._hold_steps = int(self._random.integers(1, self.MAX_HOLD_STEPS, endpoint=True))
        self._hold_steps -= 1
        return self._action, self._joystick_actions[self._action]

    def agent_position(self, memory: np.ndarray) -> None:
        """Return None: what the joystick moves differs from game to game."""


class BreakoutPlayer:
    """Explores while the ball is far and follows it, with errors, when it is about to land.

    So every action occurs in every situation and the ball still stays in play. The player presses towards a wall only
    where the paddle has room to move visibly, if not all the way: against the wall, left and right would look like
    staying, and without the moves that a wall cuts short nobody could learn where walls are. (From the right wall a
    paddle comes off a step late.) The distances hold for steps of four emulator frames.
    """

    STAY, LEFT, RIGHT = range(3)
    action_names: tuple[str, ...] = ("stay", "left", "right")

    PADDLE_X, BALL_X, BALL_Y = 72, 99, 101
    """Memory addresses. `BALL_Y` is 0 while no ball is in play."""

    LEFT_WALL, RIGHT_WALL = 8, 152
    LEFTMOST, RIGHTMOST = 16, 152
    PADDLE_Y = 192
    """Pixels of the screen: inner edges of the walls, between which the ball stays; where the paddle's centre stops,
    half under the right wall; and its vertical centre."""

    ROOM = 5
    """Pixels before the wall that a visible move needs."""

    SPEED = 6
    """Pixels that a moving paddle goes on before the picture is taken from which the move is seen."""

    SLIDE = 11
    """Pixels that a moving paddle slides on after its release."""

    REACH = 10
    """Pixels between landing point and paddle centre up to which the paddle need not move."""

    FOLLOW_STEPS = 10
    ERROR_RATE = 0.2
    """Steps before landing at which following begins, and the share of random decisions while following."""

    MAX_HOLD_STEPS = 3
    STAYING_RATE = 0.23
    """Longest hold of an exploring action, and the share of exploring decisions to stay, which together with the stays
    of following make all three actions about equally frequent."""

    def __init__(self, random: np.random.Generator):
        self._random = random
        self._action = self.STAY
        self._hold_steps = 0
        self._last_ball: tuple[int, int] | None = None

    def choose(self, memory: np.ndarray) -> tuple[int, Action]:
        """Return the action index, 0 (stay), 1 (left) or 2 (right), and its joystick position.

        While no ball is in play the player stays and presses the button, which serves.
        """
        if not memory[self.BALL_Y]:
            self._action, self._hold_steps, self._last_ball = self.STAY, 0, None
            return self.STAY, Action.FIRE

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
        return self._action, (Action.NOOP, Action.LEFT, Action.RIGHT)[self._action]

    def agent_position(self, memory: np.ndarray) -> tuple[float, float]:
        """Return the centre (x, y) of the paddle in screen pixels: x in [16, 152], y always 192."""
        return float(memory[self.PADDLE_X]) - 39, float(self.PADDLE_Y)

    def _visible_actions(self, paddle: float) -> list[int]:
        """Staying, and the moves that have room."""
        room = {self.LEFT: paddle - self.LEFTMOST, self.RIGHT: self.RIGHTMOST - paddle}
        needed = {action: self.ROOM + self.SPEED * (action == self._action) for action in room}
        return [self.STAY] + [action for action in room if room[action] >= needed[action]]

    def _landing(self, ball: tuple[int, int]) -> float | None:
        """The x at which the ball reaches the paddle's row, bounces included; None if not within `FOLLOW_STEPS`."""
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

"""The effect of keys, and the timing of frames in real time.

It does not draw.
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import pygame

from playing.manner import Manner

if TYPE_CHECKING:
    from playing.session import Session

DIGITS = {key: digit for digit in range(10) for key in (getattr(pygame, f"K_{digit}"), getattr(pygame, f"K_KP{digit}"))}
"""The digit of each number key, in the top row or on the keypad."""

ENTER = (pygame.K_RETURN, pygame.K_KP_ENTER)

ARROWS = {"left": pygame.K_LEFT, "right": pygame.K_RIGHT, "up": pygame.K_UP, "down": pygame.K_DOWN}
"""Arrow keys for actions with such names, in upper or lower case."""


class NumberEntry:
    """A number from 1 to K typed digit by digit; it is complete as soon as no further digit could follow."""

    def __init__(self, largest: int) -> None:
        """Start without digits; `largest` is K."""
        self.largest = largest
        self.digits = ""

    def add(self, digit: int) -> int | None:
        """Add a digit; return the number if that completes it, else None."""
        self.digits += str(digit)
        return self.finish() if 10 * int(self.digits) > self.largest else None

    def finish(self) -> int | None:
        """Return the number typed so far, or None unless it is from 1 to K, and start again without digits."""
        number, self.digits = int(self.digits or 0), ""
        return number if 1 <= number <= self.largest else None

    def erase(self) -> None:
        """Remove the last digit."""
        self.digits = self.digits[:-1]


class Controls:
    """Turns key presses into actions and commands of a session.

    Attributes:
        noise: whether actions are taken with noise in their variation.
        real_time: whether frames follow each other without a key press.
        is_paused: whether real time is paused.
        full_screen: whether the window should fill the screen.
        shows_line: whether the line of text should be visible.
        shows_help: whether the help should be visible; real time is paused meanwhile.
        has_quit: whether the player has quit.
        entry: the number of an action that is being typed.
        arrows: actions, 1 to K, by the arrow key that takes them.
        idle_action: the action, 1 to K, that real time takes while no key is held; None repeats the last one.
        step_seconds: seconds that the last step took to compute, 0 before the first one.
    """

    def __init__(self, session: "Session", manner: Manner) -> None:
        """Create the controls of a session."""
        self.session = session
        self.noise = manner.noise
        self.real_time = manner.real_time
        self.is_paused = False
        self.full_screen = not manner.windowed
        self.shows_line = True
        self.shows_help = False
        self.has_quit = False
        self.entry = NumberEntry(session.simulator.actions_count)
        self.step_seconds = 0.0
        names = enumerate(manner.action_names or (), start=1)
        self.arrows = {ARROWS[name.lower()]: action for action, name in names if name.lower() in ARROWS}
        self.idle_action = manner.idle_action
        self._actions: list[int] = []  # those that led to the current frame
        self._counts: Counter[int] = Counter()  # how often each action was taken, over all sequences
        self._held: dict[int, int] = {}  # the actions of held keys, in the order of pressing
        self._pressed: int | None = None  # the action that real time takes next
        self._is_rewinding = False
        self._commands: dict[int, Callable[[], None]] = {
            pygame.K_BACKSPACE: self._back,
            pygame.K_t: self._toggle_real_time,
            pygame.K_SPACE: self._toggle_pause,
            pygame.K_n: self._toggle_noise,
            pygame.K_h: self._toggle_help,
            pygame.K_i: self._toggle_line,
            pygame.K_TAB: self._toggle_line,
            pygame.K_F11: self._toggle_full_screen,
            pygame.K_ESCAPE: self.quit,
        }

    @property
    def action(self) -> int | None:
        """The action, 1 to K, that led to the current frame; None at the start of a sequence."""
        return self._actions[-1] if self._actions else None

    @property
    def next_action(self) -> int | None:
        """The action, 1 to K, that real time takes next.

        It is that of a key that was pressed or is held, else the idle action, else the last action, else (in a new
        sequence) the most frequent one so far; None if there was none.
        """
        held = next(reversed(self._held.values()), None)
        return (
            self._pressed
            or held
            or self.idle_action
            or self.action
            or max(self._counts, key=self._counts.__getitem__, default=None)
        )

    @property
    def is_running(self) -> bool:
        """Whether real time is running; it waits for the first action."""
        return self.real_time and not self.is_paused and not self.shows_help and self.next_action is not None

    def press(self, key: int) -> None:
        """Handle a key press; `key` is one of pygame's `K_...`."""
        if key in DIGITS:
            self._type(key)
        elif key in ENTER:
            self._choose(key, self.entry.finish())
        elif key in self.arrows:
            self._choose(key, self.arrows[key])
        elif key in self._commands:
            self._commands[key]()

    def release(self, key: int) -> None:
        """Handle a key release."""
        self._held.pop(key, None)
        if key == pygame.K_BACKSPACE:
            self._is_rewinding = False

    def tick(self) -> None:
        """Advance real time by one frame, or step back while Backspace is held."""
        if self._is_rewinding:
            self._rewind()
        elif self.next_action is not None:
            self._act(self.next_action)

    def begin_again(self) -> None:
        """Begin from a new starting frame."""
        self.session.reset()
        self._actions.clear()
        self._pressed = None

    def quit(self) -> None:
        """End the session."""
        self.has_quit = True

    def _type(self, key: int) -> None:
        if DIGITS[key] == 0 and not self.entry.digits:
            self.begin_again()
        else:
            self._choose(key, self.entry.add(DIGITS[key]))

    def _choose(self, key: int, action: int | None) -> None:
        """Take an action, if any: at once, or in real time with the next frame and as long as the key is held."""
        if action is not None:
            self._held.pop(key, None)  # left over if the release was missed
            self._held[key] = action
            if self.is_running:
                self._pressed = action
            else:
                self._act(action)

    def _act(self, action: int) -> None:
        start = time.perf_counter()
        self.session.act(action, self.noise)
        self.step_seconds = time.perf_counter() - start
        self._actions.append(action)
        self._counts[action] += 1
        self._pressed = None

    def _back(self) -> None:
        if self.entry.digits:
            self.entry.erase()
        else:
            self._is_rewinding = True
            self._rewind()

    def _rewind(self) -> None:
        if self.session.game.can_rewind:
            self.session.rewind()
            self._actions.pop()
        self._pressed = None

    def _toggle_real_time(self) -> None:
        self.real_time = not self.real_time
        self.is_paused = False

    def _toggle_pause(self) -> None:
        self.is_paused = self.real_time and not self.is_paused

    def _toggle_noise(self) -> None:
        self.noise = not self.noise

    def _toggle_help(self) -> None:
        self.shows_help = not self.shows_help

    def _toggle_line(self) -> None:
        self.shows_line = not self.shows_line

    def _toggle_full_screen(self) -> None:
        self.full_screen = not self.full_screen


class Pace:
    """The timing of frames in real time.

    Times are seconds of any one clock.
    """

    NUM_MEASURED = 20
    """Number of frames over which the rate is measured."""

    def __init__(self, fps: float) -> None:
        """Set the rate to `fps` frames a second."""
        self.fps = fps
        self._due: float | None = None
        self._times: deque[float] = deque(maxlen=self.NUM_MEASURED + 1)

    @property
    def rate(self) -> float:
        """Recent frames a second, 0 before the second frame."""
        return (len(self._times) - 1) / (self._times[-1] - self._times[0]) if len(self._times) > 1 else 0.0

    def seconds_left(self, now: float) -> float:
        """Return the seconds until the next frame is due."""
        return max(self._due - now, 0.0) if self._due is not None else 0.0

    def take(self, now: float) -> bool:
        """Return whether a frame is due, and if so schedule the next one a period later; delays are not caught up."""
        if self.seconds_left(now):
            return False
        period = 1 / self.fps
        self._due = max(self._due if self._due is not None else now, now - period) + period
        self._times.append(now)
        return True

    def stop(self) -> None:
        """Pause: a frame is due as soon as time continues."""
        self._due = None
        self._times.clear()

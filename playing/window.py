"""The window that a person plays in.

`Controls` turns keys into what a session does and what the window shows; it neither draws nor knows the time. `Window`
opens the screen, passes keys on, lets real time pass and draws.
"""

import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from utils.command import UserError, one_line

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import pygame

if TYPE_CHECKING:
    from playing.run import Options
    from playing.session import Session

DIGITS = {key: digit for digit in range(10) for key in (getattr(pygame, f"K_{digit}"), getattr(pygame, f"K_KP{digit}"))}
"""The digit of a key, in the row of numbers or on the keypad."""

DIGIT_ROW = {getattr(pygame, f"KSCAN_{digit}"): getattr(pygame, f"K_{digit}") for digit in range(10)}
"""The key of a place in the row of numbers, where some keyboards have signs."""

ENTER = (pygame.K_RETURN, pygame.K_KP_ENTER)

LONGEST_WAIT = 0.25
"""Seconds after which waiting for a key stops for a moment, so that Ctrl-C is heard."""

DESKTOP_SHARE = 0.8
"""How much of a side of the desktop a window fills at first."""

LINE_MARGIN = 36
"""Pixels that a window leaves at first above and below the frame, for the line of text."""

LINE_SIZE, HELP_SIZE = 24, 36
"""Pixels that text is high where there is room for it."""

BLACK = (0, 0, 0)
WHITE = (255, 255, 255)
GREY = (170, 170, 170)
YELLOW = (255, 210, 90)
SHADE = (0, 0, 0, 190)
"""What text stands on, red, green, blue and opacity."""


def require_screen() -> None:
    """`UserError` if there is no screen to open a window on."""
    _start_display()
    pygame.display.quit()


class NumberEntry:
    """A number from 1 to K that is typed digit by digit, complete as soon as no further digit could follow."""

    def __init__(self, largest: int) -> None:
        """Begin with no digit. `largest` is K."""
        self.largest = largest
        self.digits = ""

    def add(self, digit: int) -> int | None:
        """Type a digit; returns the number if that completes one."""
        self.digits += str(digit)
        return self.finish() if 10 * int(self.digits) > self.largest else None

    def finish(self) -> int | None:
        """Return the number typed so far, None if there is none from 1 to K, and begin anew."""
        number, self.digits = int(self.digits or 0), ""
        return number if 1 <= number <= self.largest else None

    def erase(self) -> None:
        """Take the last digit back."""
        self.digits = self.digits[:-1]


class Controls:
    """What keys do.

    Attributes:
        noise: whether actions are taken with noise in their variation.
        real_time: whether frames follow each other without a key press.
        is_paused: whether real time stands still.
        full_screen: whether the window should fill the screen.
        shows_line: whether the line of text should be seen.
        shows_help: whether the help should be seen; real time stands still meanwhile.
        has_quit: whether the player wants to end.
        entry: the number of an action that is being typed.
        step_seconds: how long the last step took to compute, 0 before the first one.
    """

    def __init__(self, session: "Session", options: "Options") -> None:
        """Control a session, beginning as the options say."""
        self.session = session
        self.noise = options.noise
        self.real_time = options.real_time
        self.is_paused = False
        self.full_screen = not options.windowed
        self.shows_line = True
        self.shows_help = False
        self.has_quit = False
        self.entry = NumberEntry(session.simulator.actions_count)
        self.step_seconds = 0.0
        self._idle_action = options.idle_action
        self._actions: list[int] = []  # that led to the present frame
        self._counts: Counter[int] = Counter()  # of all sequences
        self._held: dict[int, int] = {}  # the actions of keys that are down, in the order of pressing
        self._pressed: int | None = None  # the action that real time has to take next
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
        """The action, 1 to K, that led to the present frame; None at the start of a sequence."""
        return self._actions[-1] if self._actions else None

    @property
    def next_action(self) -> int | None:
        """The action, 1 to K, that real time takes next.

        It is the one of a key that was pressed or is held, else the idle action, else the last action, else, in a new
        sequence, the most frequent one so far; None if there was none.
        """
        held = next(reversed(self._held.values()), None)
        return (
            self._pressed
            or held
            or self._idle_action
            or self.action
            or max(self._counts, key=self._counts.__getitem__, default=None)
        )

    @property
    def is_running(self) -> bool:
        """Whether time passes; it waits for the first action."""
        return self.real_time and not self.is_paused and not self.shows_help and self.next_action is not None

    def press(self, key: int) -> None:
        """A key goes down, one of pygame's `K_...`."""
        if key in DIGITS:
            self._type(key)
        elif key in ENTER:
            self._choose(key, self.entry.finish())
        elif key in self._commands:
            self._commands[key]()

    def release(self, key: int) -> None:
        """A key goes up."""
        self._held.pop(key, None)
        if key == pygame.K_BACKSPACE:
            self._is_rewinding = False

    def tick(self) -> None:
        """Real time goes one frame on, or back while Backspace is held."""
        if self._is_rewinding:
            self._rewind()
        elif self.next_action is not None:
            self._act(self.next_action)

    def quit(self) -> None:
        """The player wants to end."""
        self.has_quit = True

    def _type(self, key: int) -> None:
        if DIGITS[key] == 0 and not self.entry.digits:
            self._reset()
        else:
            self._choose(key, self.entry.add(DIGITS[key]))

    def _choose(self, key: int, action: int | None) -> None:
        """Take an action, if any: at once, or with the next frame of real time and for as long as the key is held."""
        if action is not None:
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

    def _reset(self) -> None:
        self.session.reset()
        self._actions.clear()
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
    """When the frames of real time are due. Times are seconds of one clock, whichever."""

    NUM_MEASURED = 20
    """Frames that the rate is measured over."""

    def __init__(self, fps: float) -> None:
        """Frames are due `fps` times a second."""
        self.fps = fps
        self._due: float | None = None
        self._times: deque[float] = deque(maxlen=self.NUM_MEASURED + 1)

    @property
    def rate(self) -> float:
        """How many frames a second there were lately, 0 before the second one."""
        return (len(self._times) - 1) / (self._times[-1] - self._times[0]) if len(self._times) > 1 else 0.0

    def seconds_left(self, now: float) -> float:
        """How long it is until the next frame."""
        return max(self._due - now, 0.0) if self._due is not None else 0.0

    def take(self, now: float) -> bool:
        """Whether a frame is due; if so, the next one is due a period later. What is late is never made up for."""
        if self.seconds_left(now):
            return False
        period = 1 / self.fps
        self._due = max(self._due if self._due is not None else now, now - period) + period
        self._times.append(now)
        return True

    def stop(self) -> None:
        """Time stands still: a frame is due as soon as it goes on."""
        self._due = None
        self._times.clear()


@dataclass(frozen=True)
class Text:
    """A piece of text."""

    text: str
    colour: tuple[int, int, int]


class Window:
    """Shows a session and passes keys on to its controls."""

    def __init__(self, session: "Session", options: "Options") -> None:
        """Open the window. `UserError` if there is no screen for it."""
        self.session = session
        self.controls = Controls(session, options)
        self._pace = Pace(options.fps)
        self._is_full_screen = False
        _start_display()
        pygame.font.init()
        pygame.display.set_caption(session.header.run_name)
        self._open()

    def run(self) -> None:
        """Play until the player quits, and close the window."""
        try:
            self._draw()
            while not self.controls.has_quit:
                self.update()
        finally:
            pygame.quit()

    def update(self) -> None:
        """Wait until keys are pressed, the next frame is due or some time has passed, and show what follows."""
        wait = (
            min(self._pace.seconds_left(time.monotonic()), LONGEST_WAIT) if self.controls.is_running else LONGEST_WAIT
        )
        for event in (pygame.event.wait(max(1, int(1000 * wait))), *pygame.event.get()):
            if event.type != pygame.NOEVENT and not self.controls.has_quit:
                self._handle(event)
        if not self.controls.is_running:
            self._pace.stop()
        elif self._pace.take(time.monotonic()):
            self.controls.tick()
            self._draw()

    def _handle(self, event: pygame.event.Event) -> None:
        if event.type == pygame.QUIT:
            self.controls.quit()
        elif event.type == pygame.KEYDOWN:
            self.controls.press(_key(event))
        elif event.type == pygame.KEYUP:
            self.controls.release(_key(event))
        if self.controls.full_screen != self._is_full_screen:
            self._open()
        self._draw()

    def _open(self) -> None:
        """Open the window, or open it again where full screen is switched on or off."""
        self._is_full_screen = self.controls.full_screen
        desktop = pygame.display.get_desktop_sizes()[0]
        height, width, _ = self.session.game.frame.shape
        try:
            if self._is_full_screen:
                pygame.display.set_mode(desktop, pygame.FULLSCREEN)
            else:
                pygame.display.set_mode(_window_size((width, height), desktop), pygame.RESIZABLE)
        except pygame.error as error:
            raise _no_screen(one_line(error)) from error
        pygame.mouse.set_visible(not self._is_full_screen)
        pygame.key.stop_text_input()  # keys are keys: no input method composes signs of them
        pygame.event.set_blocked(None)
        pygame.event.set_allowed(
            (pygame.QUIT, pygame.KEYDOWN, pygame.KEYUP, pygame.WINDOWEXPOSED, pygame.WINDOWSIZECHANGED)
        )

    def _draw(self) -> None:
        screen = pygame.display.get_surface()
        frame = self.session.game.frame
        height, width, _ = frame.shape
        picture = pygame.image.frombuffer(frame.tobytes(), (width, height), "RGB").convert()
        place = frame_place((width, height), screen.get_size())
        screen.fill(BLACK)
        screen.blit(pygame.transform.scale(picture, place.size), place)
        if self.controls.shows_line:
            line = _fitted([self._line()], LINE_SIZE, screen.get_size())
            screen.blit(line, line.get_rect(bottomleft=screen.get_rect().bottomleft))
        if self.controls.shows_help:
            panel = _fitted(_help(self.controls.entry.largest), HELP_SIZE, screen.get_size())
            screen.blit(panel, panel.get_rect(center=screen.get_rect().center))
        pygame.display.flip()

    def _line(self) -> list[Text]:
        """The line of text: what was done, how time passes, where it began."""
        controls = self.controls
        if controls.entry.digits:
            action = f"action {controls.entry.digits}_"
        elif controls.action:
            action = f"action {controls.action}"
        else:
            action = f"press 1 to {controls.entry.largest}"
        sequence = f"seed {self.session.header.seed}, sequence {self.session.sequence}"
        noise = [Text("noise", YELLOW)] if controls.noise else []
        return [Text(action, WHITE), Text(self._mode(), GREY), Text(sequence, GREY), *noise, Text("H: help", GREY)]

    def _mode(self) -> str:
        """Whether time passes, and frames per second: those seen in real time, else those that could be."""
        controls = self.controls
        if not controls.real_time:
            seconds = controls.step_seconds
            return "step by step" + (f", up to {1 / seconds:.0f} frames/s" if seconds else "")
        if controls.next_action is None:
            return "real time, waiting"
        if not controls.is_running:
            return "real time, paused"
        return f"real time, {self._pace.rate:.0f} of {self._pace.fps:g} frames/s"


def frame_place(frame: tuple[int, int], window: tuple[int, int]) -> pygame.Rect:
    """Where a frame goes in a window: enlarged by the largest whole factor that fits, and in the middle.

    Args:
        frame: width and height in pixels.
        window: the same. Of a frame that does not fit, the middle is seen.
    """
    factor = max(1, min(window[0] // frame[0], window[1] // frame[1]))
    place = pygame.Rect(0, 0, factor * frame[0], factor * frame[1])
    place.center = window[0] // 2, window[1] // 2
    return place


def _window_size(frame: tuple[int, int], desktop: tuple[int, int]) -> tuple[int, int]:
    """The size of a window that shows an enlarged frame and leaves a margin for the line of text."""
    room = int(DESKTOP_SHARE * desktop[0]), int(DESKTOP_SHARE * desktop[1]) - 2 * LINE_MARGIN
    place = frame_place(frame, room)
    return place.width, place.height + 2 * LINE_MARGIN


def _help(actions_count: int) -> list[list[Text]]:
    """The help: keys, and what they do."""
    numbers = {f"1 to {actions_count}": "take an action; in real time it goes on"}
    if actions_count > 9:
        numbers["Enter"] = "end a number that could be longer, such as 1"
    others = {
        "0": "begin again from a new starting frame",
        "Backspace": "take the last step back; in real time, hold it",
        "T": "real time or step by step",
        "Space": "pause real time; keys then go frame by frame",
        "N": "noise in the variation of actions, on or off",
        "I or Tab": "show or hide the line of text",
        "F11": "full screen or window",
        "H": "show or hide this help",
        "Esc": "quit",
    }
    return [[Text(keys, YELLOW), Text(meaning, WHITE)] for keys, meaning in (numbers | others).items()]


def _fitted(rows: list[list[Text]], size: int, window: tuple[int, int]) -> pygame.Surface:
    """Rows of text in a size of letters, or smaller so that they fit into a window."""
    picture = _table(rows, size)
    share = min(window[0] / picture.get_width(), window[1] / picture.get_height())
    return picture if share >= 1 else _table(rows, max(1, int(share * size)))


def _table(rows: list[list[Text]], size: int) -> pygame.Surface:
    """Rows of text in columns, on a shade, with letters of `size` pixels."""
    font = pygame.font.Font(None, size)
    cells = [[font.render(cell.text, True, cell.colour) for cell in row] for row in rows]
    widths = [max(cell.get_width() for cell in column) + size for column in zip(*cells, strict=True)]
    line_height = font.get_linesize() * 4 // 3
    picture = pygame.Surface((sum(widths), line_height * len(rows)), pygame.SRCALPHA)
    picture.fill(SHADE)
    for row, line in enumerate(cells):
        for column, cell in enumerate(line):
            left, middle = sum(widths[:column]) + size // 2, row * line_height + line_height // 2
            picture.blit(cell, cell.get_rect(midleft=(left, middle)))
    return picture


def _key(event: pygame.event.Event) -> int:
    """The key of an event; of the places in the row of numbers it is the number, whatever sign is printed there."""
    return event.key if event.key in DIGITS else DIGIT_ROW.get(getattr(event, "scancode", None), event.key)


def _start_display() -> None:
    """Connect to the screen. `UserError` if there is none: SDL would draw where nobody looks."""
    driver = os.environ.get("SDL_VIDEODRIVER")
    if sys.platform == "linux" and not (driver or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise _no_screen("neither DISPLAY nor WAYLAND_DISPLAY is set")
    try:
        pygame.display.init()
    except pygame.error as error:
        raise _no_screen(one_line(error)) from error
    if not driver and pygame.display.get_driver() in ("offscreen", "dummy"):
        pygame.display.quit()
        raise _no_screen("the display does not answer")


def _no_screen(reason: str) -> UserError:
    return UserError(
        f"no window can be opened: {reason}; play a script without a screen: --headless --actions 1,1,2x10"
    )

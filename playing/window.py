"""The window of play: it passes keys to the controls, advances real time, and draws."""

import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from utils.command import UserError, one_line

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import pygame

from playing.controls import DIGITS, Controls, Pace
from playing.manner import Manner

if TYPE_CHECKING:
    from playing.session import Session

DIGIT_ROW = {getattr(pygame, f"KSCAN_{digit}"): getattr(pygame, f"K_{digit}") for digit in range(10)}
"""Number keys by their scancode in the top row, where some keyboard layouts have symbols."""

LONGEST_WAIT = 0.25
"""Seconds after which waiting for a key is interrupted, so that Ctrl-C is noticed."""

DESKTOP_SHARE = 0.8
"""Share of the desktop's width and height that a window may fill at first."""

LINE_MARGIN = 36
"""Pixels that a window initially leaves above and below the frame, for the line of text."""

LINE_SIZE, HELP_SIZE = 24, 36
"""Text heights in pixels, if there is room."""

BLACK = (0, 0, 0)
WHITE = (255, 255, 255)
GREY = (170, 170, 170)
YELLOW = (255, 210, 90)
SHADE = (0, 0, 0, 190)
"""Background of text: red, green, blue and opacity."""


def require_screen() -> None:
    """Check that there is a screen to open a window on.

    Raises:
        UserError: there is none.
    """
    _start_display()
    pygame.display.quit()


@dataclass(frozen=True)
class Text:
    """A piece of text with its colour."""

    text: str
    colour: tuple[int, int, int]


class Window:
    """A window that shows a session and passes keys to its controls."""

    def __init__(self, session: "Session", manner: Manner) -> None:
        """Open the window.

        Raises:
            UserError: there is no screen.
        """
        self.session = session
        self.controls = Controls(session, manner)
        self._pace = Pace(manner.fps)
        self._action_names = manner.action_names
        self._is_full_screen = False
        _start_display()
        pygame.font.init()
        self.entitle(session.header.run_name)
        self._open()

    def entitle(self, title: str) -> None:
        """Set the title of the window."""
        pygame.display.set_caption(title)

    def run(self) -> None:
        """Play until the player quits, then close the window."""
        try:
            self._draw()
            while not self.controls.has_quit:
                self.update()
        finally:
            pygame.quit()

    def update(self) -> None:
        """Wait for a key, the next frame or `LONGEST_WAIT`; then handle keys, advance real time and draw."""
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
        """Open the window, or reopen it after full screen was switched on or off.

        Raises:
            UserError: it cannot be opened.
        """
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
        pygame.key.stop_text_input()  # so that no input method composes characters from keys
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
            if self._action_names:
                screen.blit(_fitted([self._names(self._action_names)], LINE_SIZE, screen.get_size()), (0, 0))
        if self.controls.shows_help:
            panel = _fitted(_help(self.controls), HELP_SIZE, screen.get_size())
            screen.blit(panel, panel.get_rect(center=screen.get_rect().center))
        pygame.display.flip()

    def _names(self, names: tuple[str, ...]) -> list[Text]:
        """The top line: the number keys with the names of their actions, the last action in white."""
        return [
            Text(f"{action} {name}", WHITE if action == self.controls.action else GREY)
            for action, name in enumerate(names, start=1)
        ]

    def _line(self) -> list[Text]:
        """The bottom line: the last action, the mode of time, the seed and the sequence."""
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
        """The mode of time, with frames a second: the measured ones in real time, else the possible ones."""
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
    """Return the place of a frame in a window: centred, and enlarged by the largest whole factor that fits.

    Args:
        frame: width and height in pixels.
        window: width and height in pixels; if the frame does not fit, its middle is visible.
    """
    factor = max(1, min(window[0] // frame[0], window[1] // frame[1]))
    place = pygame.Rect(0, 0, factor * frame[0], factor * frame[1])
    place.center = window[0] // 2, window[1] // 2
    return place


def _window_size(frame: tuple[int, int], desktop: tuple[int, int]) -> tuple[int, int]:
    """Return the size of a window for an enlarged frame with margins for the lines of text."""
    room = int(DESKTOP_SHARE * desktop[0]), int(DESKTOP_SHARE * desktop[1]) - 2 * LINE_MARGIN
    place = frame_place(frame, room)
    return place.width, place.height + 2 * LINE_MARGIN


def _help(controls: Controls) -> list[list[Text]]:
    """Return the rows of the help: keys and their effects."""
    largest = controls.entry.largest
    numbers = {f"1 to {largest}": f"take an action; in real time {'hold it' if controls.idle_action else 'it goes on'}"}
    if largest > 9:
        numbers["Enter"] = "end a number that could be longer, such as 1"
    if controls.arrows:
        numbers["Arrows"] = "take the actions that are called left, right, up and down"
    others = {
        "0": "begin again from a new starting frame",
        "Backspace": "take the last step back; in real time, hold it",
        "T": "real time or step by step",
        "Space": "pause real time; keys then go frame by frame",
        "N": "noise in the variation of actions, on or off",
        "I or Tab": "show or hide the lines of text",
        "F11": "full screen or window",
        "H": "show or hide this help",
        "Esc": "quit",
    }
    return [[Text(keys, YELLOW), Text(meaning, WHITE)] for keys, meaning in (numbers | others).items()]


def _fitted(rows: list[list[Text]], size: int, window: tuple[int, int]) -> pygame.Surface:
    """Render rows of text with letters of `size` pixels, or smaller ones so that they fit into the window."""
    picture = _table(rows, size)
    share = min(window[0] / picture.get_width(), window[1] / picture.get_height())
    return picture if share >= 1 else _table(rows, max(1, int(share * size)))


def _table(rows: list[list[Text]], size: int) -> pygame.Surface:
    """Render rows of text in columns on a shaded background, with letters of `size` pixels."""
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
    """Return the key of an event; keys in the top row count as numbers whatever the keyboard layout."""
    return event.key if event.key in DIGITS else DIGIT_ROW.get(getattr(event, "scancode", None), event.key)


def _start_display() -> None:
    """Connect to the screen.

    Raises:
        UserError: there is none; SDL would draw off screen.
    """
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
        f"no window can be opened: {reason}; play a script without a screen: play.py --headless --actions 1,1,2x10"
    )

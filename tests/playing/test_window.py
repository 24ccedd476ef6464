import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pygame
import pytest
from PIL import ImageGrab

from playing.controls import Pace
from playing.manner import Manner
from playing.window import (
    GREY,
    HELP_SIZE,
    LINE_SIZE,
    SHADE,
    WHITE,
    YELLOW,
    Window,
    frame_place,
    require_screen,
)
from tests.playing.watched_session import FRAME, WatchedSession, key
from utils.command import UserError

SCREEN = (1280, 1024)
FAST = 1000.0
"""Frames a second, so that tests do not wait for real time."""

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a screen")


@pytest.mark.parametrize(
    ("frame", "window", "place"),
    [
        ((80, 96), (1920, 1080), (520, 12, 880, 1056)),
        ((256, 96), (1920, 1080), (64, 204, 1792, 672)),
        ((80, 96), (161, 500), (0, 154, 160, 192)),
        ((80, 96), (80, 96), (0, 0, 80, 96)),
        ((80, 96), (60, 60), (-10, -18, 80, 96)),
    ],
)
def test_frame_place(frame: tuple[int, int], window: tuple[int, int], place: tuple[int, int, int, int]) -> None:
    assert frame_place(frame, window) == pygame.Rect(place)


@dataclass
class Screen:
    """A screen that nobody looks at."""

    name: str | None
    """Of an X display; None for SDL's dummy, which has no pixels but those of the window."""

    def pixels(self) -> np.ndarray:
        """What is to be seen, uint8 (H, W, 3)."""
        if self.name is not None:
            return np.asarray(ImageGrab.grab(xdisplay=self.name))
        return pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)


@pytest.fixture(scope="module")
def screen() -> Iterator[Screen]:
    """An X server of our own where there is one, else SDL's dummy."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in ("SDL_VIDEODRIVER", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("SDL_VIDEO_WINDOW_POS", "0,0")
        xvfb = shutil.which("Xvfb")
        if xvfb is None:
            monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
            yield Screen(None)
            return
        reading, writing = os.pipe()
        size = "{}x{}x24".format(*SCREEN)
        server = subprocess.Popen(
            [xvfb, "-displayfd", str(writing), "-screen", "0", size, "-nolisten", "tcp", "-noreset"],
            pass_fds=[writing],
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        with os.fdopen(reading) as file:
            name = f":{file.readline().strip()}"
        monkeypatch.setenv("DISPLAY", name)
        yield Screen(name)
        server.terminate()
        server.wait()


@pytest.fixture
def _quit_pygame() -> Iterator[None]:
    yield
    pygame.quit()


def post(*names: str) -> None:
    """Let keys be pressed and released."""
    for name in names:
        for kind in (pygame.KEYDOWN, pygame.KEYUP):
            pygame.event.post(pygame.event.Event(kind, key=key(name)))


def shows_text(picture: np.ndarray, text: str, colour: tuple[int, int, int], size: int) -> bool:
    """Whether a text stands somewhere on a black ground of a picture, to the last pixel."""
    written = pygame.font.Font(None, size).render(text, True, colour)
    ground = pygame.Surface(written.get_size(), pygame.SRCALPHA)
    ground.fill(SHADE)
    ground.blit(written, (0, 0))
    black = pygame.Surface(written.get_size())
    black.blit(ground, (0, 0))
    pattern = pygame.surfarray.array3d(black).swapaxes(0, 1)
    rows, columns = (np.flatnonzero(pattern.any(axis)) for axis in ((1, 2), (0, 2)))
    pattern = pattern[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width, channels = pattern.shape
    middle = height // 2
    starts = (row.tobytes().find(pattern[middle].tobytes()) // channels for row in picture)
    return any(
        x >= 0 and np.array_equal(picture[y - middle :, x : x + width][:height], pattern)
        for y, x in enumerate(starts)
        if y >= middle
    )


def enlarged(frame: np.ndarray, factor: int) -> np.ndarray:
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)


@pytest.mark.usefixtures("_quit_pygame")
class TestWindow:
    def test_fills_the_screen_with_the_frame_in_the_middle(self, screen: Screen) -> None:
        session = WatchedSession()
        window = Window(session, Manner())
        post("2", "i")
        window.update()
        picture = screen.pixels()
        height, width, _ = picture.shape
        factor = min(width // FRAME[0], height // FRAME[1])
        expected = np.zeros_like(picture)
        top, left = (height - factor * FRAME[1]) // 2, (width - factor * FRAME[0]) // 2
        expected[top : top + factor * FRAME[1], left : left + factor * FRAME[0]] = enlarged(session.game.frame, factor)
        assert session.calls == ["2"]
        assert factor >= 8
        assert np.array_equal(picture, expected)

    def test_windowed_leaves_room_for_the_line_of_text(self, screen: Screen) -> None:
        session = WatchedSession()
        window = Window(session, Manner(windowed=True))
        post("1")
        window.update()
        width, height = pygame.display.get_window_size()
        picture = screen.pixels()
        factor = width // FRAME[0]
        margin = (height - factor * FRAME[1]) // 2
        assert factor >= 5
        assert width < picture.shape[1] or screen.name is None
        assert np.array_equal(picture[margin : height - margin, :width], enlarged(session.game.frame, factor))
        line = picture[height - margin : height, :width]
        assert any(shows_text(line, "action 1", WHITE, size) for size in range(LINE_SIZE, 12, -1))

    def test_line_tells_the_action_the_mode_and_the_seed_and_can_be_hidden(self, screen: Screen) -> None:
        window = Window(WatchedSession(actions_count=12, black=True), Manner())
        post("3")
        window.update()
        window.controls.step_seconds = 1 / 25
        post("i", "i")
        window.update()
        picture = screen.pixels()
        assert shows_text(picture, "action 3", WHITE, LINE_SIZE)
        assert not shows_text(picture, "action 2", WHITE, LINE_SIZE)
        assert shows_text(picture, "step by step, up to 25 frames/s", GREY, LINE_SIZE)
        assert shows_text(picture, "seed 7, sequence 1", GREY, LINE_SIZE)
        assert not shows_text(picture, "noise", YELLOW, LINE_SIZE)
        post("0", "n", "1")
        window.update()
        picture = screen.pixels()
        assert shows_text(picture, "action 1_", WHITE, LINE_SIZE)
        assert shows_text(picture, "seed 7, sequence 2", GREY, LINE_SIZE)
        assert shows_text(picture, "noise", YELLOW, LINE_SIZE)
        post("TAB")
        window.update()
        assert not screen.pixels().any()

    def test_line_begins_with_what_to_press(self, screen: Screen) -> None:
        window = Window(WatchedSession(black=True), Manner())
        post("n")
        window.update()
        assert shows_text(screen.pixels(), "press 1 to 3", WHITE, LINE_SIZE)

    def test_names_stand_beside_the_number_keys(self, screen: Screen) -> None:
        window = Window(WatchedSession(black=True), Manner(action_names=("left", "stay", "right")))
        post("RIGHT")
        window.update()
        picture = screen.pixels()
        for text, colour in (("1 left", GREY), ("2 stay", GREY), ("3 right", WHITE)):
            assert shows_text(picture, text, colour, LINE_SIZE), text
        post("i")
        window.update()
        assert not screen.pixels().any()

    @pytest.mark.parametrize(
        ("names", "idle_action", "meaning"),
        [
            (None, None, "take an action; in real time it goes on"),
            (("left", "stay", "right"), 2, "take an action; in real time hold it"),
        ],
    )
    def test_help_knows_names(
        self, screen: Screen, names: tuple[str, ...] | None, idle_action: int | None, meaning: str
    ) -> None:
        window = Window(WatchedSession(black=True), Manner(action_names=names, idle_action=idle_action))
        post("i", "h")
        window.update()
        picture = screen.pixels()
        assert shows_text(picture, meaning, WHITE, HELP_SIZE)
        assert shows_text(picture, "Arrows", YELLOW, HELP_SIZE) == (names is not None)

    @pytest.mark.parametrize(("actions_count", "has_enter"), [(3, False), (12, True)])
    def test_help_explains_the_keys(self, screen: Screen, actions_count: int, has_enter: bool) -> None:
        window = Window(WatchedSession(actions_count, black=True), Manner())
        post("h")
        window.update()
        picture = screen.pixels()
        for keys in (f"1 to {actions_count}", "Backspace", "Space", "I or Tab", "F11", "Esc"):
            assert shows_text(picture, keys, YELLOW, HELP_SIZE), keys
        assert shows_text(picture, "Enter", YELLOW, HELP_SIZE) == has_enter
        post("h")
        window.update()
        assert not shows_text(screen.pixels(), "Backspace", YELLOW, HELP_SIZE)

    def test_text_shrinks_to_fit_a_small_window(self, screen: Screen) -> None:
        window = Window(WatchedSession(black=True), Manner(windowed=True))
        pygame.display.set_mode((200, 200), pygame.RESIZABLE)
        post("h")
        window.update()
        bright = screen.pixels()[:200, :200].max(axis=2) > 127
        assert bright.any()
        assert not bright[:, [0, -1]].any()
        assert not bright[[0, -1]].any()

    def test_switches_full_screen(self, screen: Screen) -> None:
        if screen.name is None:
            pytest.skip("SDL's dummy keeps its size; install Xvfb")
        session = WatchedSession()
        window = Window(session, Manner(windowed=True))
        windowed, full = pygame.display.get_window_size(), pygame.display.get_desktop_sizes()[0]
        assert windowed != full
        for size in (full, windowed):
            post("F11")
            window.update()
            assert pygame.display.get_window_size() == size
            post("i", "i")
            window.update()
            place = frame_place(FRAME, size)
            inside = screen.pixels()[place.top : place.bottom - 40, place.left : place.right]
            assert np.array_equal(inside, enlarged(session.game.frame, place.width // FRAME[0])[:-40])

    def test_real_time_repeats_and_pauses(self, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("playing.window.LONGEST_WAIT", 0.001)
        monkeypatch.setattr(Pace, "rate", 990)
        session = WatchedSession(black=True)
        window = Window(session, Manner(real_time=True, fps=FAST))
        post("i", "i")
        window.update()
        assert shows_text(screen.pixels(), "real time, waiting", GREY, LINE_SIZE)
        assert session.calls == []
        post("2")
        update_until(window, lambda: len(session.calls) >= 5)
        assert set(session.calls) == {"2"}
        assert shows_text(screen.pixels(), "real time, 990 of 1000 frames/s", GREY, LINE_SIZE)
        post("SPACE")
        window.update()
        session.calls.clear()
        for _ in range(10):
            window.update()
        assert session.calls == []
        assert shows_text(screen.pixels(), "real time, paused", GREY, LINE_SIZE)

    def test_frame_rate_is_measured_anew_after_a_pause(self, screen: Screen) -> None:
        session = WatchedSession(black=True)
        window = Window(session, Manner(real_time=True, fps=FAST, idle_action=1))
        update_until(window, lambda: len(session.calls) >= 3)
        for _ in range(2):
            post("SPACE")
            window.update()
        assert shows_text(screen.pixels(), "real time, 0 of 1000 frames/s", GREY, LINE_SIZE)

    @pytest.mark.usefixtures("screen")
    def test_real_time_takes_the_idle_action(self) -> None:
        session = WatchedSession()
        window = Window(session, Manner(real_time=True, fps=FAST, idle_action=3))
        update_until(window, lambda: len(session.calls) >= 3)
        assert set(session.calls) == {"3"}

    @pytest.mark.usefixtures("screen")
    def test_places_in_the_row_of_numbers_count_whatever_is_printed_there(self) -> None:
        session = WatchedSession()
        window = Window(session, Manner())
        event = pygame.event.Event(pygame.KEYDOWN, key=pygame.K_AMPERSAND, scancode=pygame.KSCAN_1)
        pygame.event.post(event)
        window.update()
        assert session.calls == ["1"]

    @pytest.mark.usefixtures("screen")
    def test_every_step_of_a_quick_player_is_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        session = WatchedSession()
        shown = {session.game.frame.tobytes()}
        window = Window(session, Manner())
        monkeypatch.setattr("pygame.display.flip", lambda: shown.add(session.game.frame.tobytes()))
        post("1", "2", "3")
        window.update()
        assert len(shown) == 4

    @pytest.mark.usefixtures("screen")
    @pytest.mark.parametrize("ending", ["ESCAPE", "close"])
    def test_runs_until_the_player_quits(self, ending: str) -> None:
        session = WatchedSession()
        window = Window(session, Manner())
        post("1", "BACKSPACE", "3", "0")
        if ending == "close":
            pygame.event.post(pygame.event.Event(pygame.QUIT))
        else:
            post(ending)
        post("2")
        window.run()
        assert session.calls == ["1", "<", "3", "0"]
        assert not pygame.display.get_init()

    @pytest.mark.usefixtures("screen")
    def test_is_closed_when_a_step_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        session = WatchedSession()

        def fail(*_: object) -> None:
            raise OSError("no space left")

        monkeypatch.setattr(session, "act", fail)
        window = Window(session, Manner())
        post("1")
        with pytest.raises(OSError, match="no space"):
            window.run()
        assert not pygame.display.get_init()

    @pytest.mark.usefixtures("screen")
    def test_hears_ctrl_c_while_it_waits(self) -> None:
        window = Window(WatchedSession(), Manner())
        gave_up = threading.Event()

        def give_up() -> None:
            gave_up.set()
            pygame.event.post(pygame.event.Event(pygame.QUIT))

        deadline = threading.Timer(20, give_up)
        deadline.start()
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            window.run()
        deadline.cancel()
        assert not gave_up.is_set()


def update_until(window: Window, condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        window.update()
    raise AssertionError("it never happens")


class TestRequireScreen:
    @LINUX
    def test_asks_for_a_display(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(UserError, match=r"neither DISPLAY nor WAYLAND_DISPLAY.*--headless --actions"):
            require_screen()

    @LINUX
    def test_refuses_a_display_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
        monkeypatch.setenv("DISPLAY", ":54321")
        with pytest.raises(UserError, match=r"does not answer.*--headless --actions"):
            require_screen()

    def test_refuses_a_driver_that_there_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SDL_VIDEODRIVER", "nonsense")
        with pytest.raises(UserError, match=r"nonsense not available.*--headless --actions"):
            require_screen()

    @pytest.mark.usefixtures("screen")
    def test_accepts_a_screen_and_leaves_it_alone(self) -> None:
        require_screen()
        assert not pygame.display.get_init()

    def test_needs_no_model_and_says_nothing(self) -> None:
        code = "import sys, playing.window; playing.window.require_screen(); sys.exit('torch' in sys.modules)"
        environment = {**os.environ, "SDL_VIDEODRIVER": "dummy"}
        environment.pop("PYGAME_HIDE_SUPPORT_PROMPT", None)
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

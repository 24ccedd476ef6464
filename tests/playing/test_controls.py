from typing import Any

import numpy as np
import pytest

from playing.controls import Controls, NumberEntry, Pace
from playing.manner import Manner
from tests.playing.watched_session import WatchedSession, hit, key


class TestNumberEntry:
    @pytest.mark.parametrize(
        ("largest", "digits", "numbers"),
        [
            (3, "123", [1, 2, 3]),
            (3, "4", [None]),
            (9, "9", [9]),
            (12, "1", []),
            (12, "12", [12]),
            (12, "10", [10]),
            (12, "2", [2]),
            (12, "13", [None]),
            (12, "1311", [None, 11]),
            (120, "12", []),
            (120, "120", [120]),
            (120, "13", [13]),
        ],
    )
    def test_is_complete_when_no_digit_can_follow(self, largest: int, digits: str, numbers: list[int | None]) -> None:
        entry, found = NumberEntry(largest), []
        for digit in digits:
            number = entry.add(int(digit))
            if not entry.digits:
                found.append(number)
        assert found == numbers

    def test_can_be_ended_and_erased(self) -> None:
        entry = NumberEntry(120)
        assert entry.finish() is None
        entry.add(1)
        entry.add(1)
        entry.erase()
        assert entry.digits == "1"
        assert entry.finish() == 1
        assert entry.digits == ""


class TestStepByStep:
    def test_every_key_press_is_a_frame(self) -> None:
        session = WatchedSession()
        controls = Controls(session, Manner())
        frames = [session.game.frame]
        for name in ("1", "KP2", "3"):
            hit(controls, name)
            frames.append(session.game.frame)
        assert session.calls == ["1", "2", "3"]
        for frame, following, shift in zip(frames, frames[1:], (1, 2, 3), strict=False):
            assert np.array_equal(following, np.roll(frame, shift, axis=1))
        assert controls.action == 3
        assert controls.step_seconds > 0

    def test_other_keys_do_nothing(self) -> None:
        session = WatchedSession()
        hit(Controls(session, Manner()), "4", "9", "KP7", "a", "RETURN", "UP", "SPACE")
        assert session.calls == []

    @pytest.mark.parametrize(
        ("names", "arrows"),
        [
            (None, {}),
            (("a", "b", "c"), {}),
            (("left", "stay", "Right"), {"LEFT": 1, "RIGHT": 3}),
            (("UP", "fire", "down"), {"UP": 1, "DOWN": 3}),
        ],
    )
    def test_arrow_keys_take_the_actions_that_are_called_like_them(
        self, names: tuple[str, ...] | None, arrows: dict[str, int]
    ) -> None:
        session = WatchedSession()
        controls = Controls(session, Manner(action_names=names))
        hit(controls, "LEFT", "RIGHT", "UP", "DOWN")
        assert session.calls == [str(action) for action in arrows.values()]
        assert controls.arrows == {key(name): action for name, action in arrows.items()}

    def test_a_held_key_does_not_repeat(self) -> None:
        controls = Controls(WatchedSession(), Manner())
        controls.press(key("1"))
        assert not controls.is_running

    def test_backspace_takes_steps_back_up_to_the_start(self) -> None:
        session = WatchedSession()
        controls = Controls(session, Manner())
        start = session.game.frame
        hit(controls, "1", "2", "BACKSPACE")
        assert controls.action == 1
        hit(controls, "BACKSPACE", "BACKSPACE")
        assert session.calls == ["1", "2", "<", "<"]
        assert np.array_equal(session.game.frame, start)
        assert controls.action is None

    @pytest.mark.parametrize("zero", ["0", "KP0"])
    def test_zero_begins_again(self, zero: str) -> None:
        session = WatchedSession()
        controls = Controls(session, Manner())
        start = session.game.frame
        hit(controls, "1", zero)
        assert session.calls == ["1", "0"]
        assert session.sequence == 2
        assert not np.array_equal(session.game.frame, start)
        assert controls.action is None

    def test_noise_is_switched(self) -> None:
        session = WatchedSession()
        hit(Controls(session, Manner()), "1", "n", "1", "n", "1")
        assert session.calls == ["1", "1n", "1"]

    def test_noise_can_be_there_from_the_start(self) -> None:
        session = WatchedSession()
        hit(Controls(session, Manner(noise=True)), "2")
        assert session.calls == ["2n"]

    def test_actions_of_two_digits(self) -> None:
        session = WatchedSession(actions_count=12)
        controls = Controls(session, Manner())
        hit(controls, "1", "2", "3", "1", "RETURN", "KP1", "KP0", "1", "KP_ENTER")
        assert session.calls == ["12", "3", "1", "10", "1"]

    def test_backspace_erases_a_digit_before_it_takes_a_step_back(self) -> None:
        session = WatchedSession(actions_count=12)
        controls = Controls(session, Manner())
        hit(controls, "2", "1", "BACKSPACE")
        assert session.calls == ["2"]
        hit(controls, "BACKSPACE")
        assert session.calls == ["2", "<"]

    def test_view_is_switched(self) -> None:
        controls = Controls(WatchedSession(), Manner(windowed=True))
        assert (controls.full_screen, controls.shows_line, controls.shows_help) == (False, True, False)
        hit(controls, "F11", "i", "h")
        assert (controls.full_screen, controls.shows_line, controls.shows_help) == (True, False, True)
        hit(controls, "F11", "TAB", "h")
        assert (controls.full_screen, controls.shows_line, controls.shows_help) == (False, True, False)

    def test_is_full_screen_by_default(self) -> None:
        assert Controls(WatchedSession(), Manner()).full_screen

    def test_escape_quits(self) -> None:
        controls = Controls(WatchedSession(), Manner())
        hit(controls, "ESCAPE")
        assert controls.has_quit


class TestRealTime:
    @staticmethod
    def controls(**manner: Any) -> tuple[Controls, list[str]]:
        session = WatchedSession()
        return Controls(session, Manner(real_time=True, **manner)), session.calls

    def test_waits_for_the_first_action(self) -> None:
        controls, calls = self.controls()
        assert not controls.is_running
        controls.tick()
        assert calls == []

    def test_repeats_a_held_key(self) -> None:
        controls, calls = self.controls()
        controls.press(key("2"))
        assert controls.is_running
        assert calls == []
        controls.tick()
        controls.tick()
        assert calls == ["2", "2"]

    def test_repeats_the_last_action(self) -> None:
        controls, calls = self.controls()
        hit(controls, "2")
        controls.tick()
        hit(controls, "3")
        controls.tick()
        controls.tick()
        assert calls == ["2", "3", "3"]

    @pytest.mark.parametrize(("first", "second"), [("2", "3"), ("LEFT", "RIGHT"), ("2", "RIGHT")])
    @pytest.mark.parametrize(
        ("script", "taken"),
        [
            ("+a . .", "22"),
            ("+a . +b . -b . -a .", "2321"),
            ("+a . +b . -a . -b .", "2331"),
            ("+a +b . -b .", "32"),
            ("+a +b +a . -a .", "23"),
            ("+a -a . .", "21"),
        ],
        ids=["held", "newest goes first", "oldest goes first", "at once", "a release is lost", "short"],
    )
    def test_the_key_that_is_held_acts(self, first: str, second: str, script: str, taken: str) -> None:
        controls, calls = self.controls(idle_action=1, action_names=("stay", "left", "right"))
        keys = {"a": key(first), "b": key(second)}
        for event in script.split():
            if event == ".":
                controls.tick()
            else:
                (controls.press if event[0] == "+" else controls.release)(keys[event[1]])
        assert "".join(calls) == taken

    def test_a_short_press_is_not_lost(self) -> None:
        controls, calls = self.controls(idle_action=1)
        controls.press(key("2"))
        hit(controls, "3")
        controls.tick()
        controls.tick()
        assert calls == ["3", "2"]

    def test_takes_the_idle_action_while_no_key_is_held(self) -> None:
        controls, calls = self.controls(idle_action=1)
        controls.tick()
        hit(controls, "3")
        controls.tick()
        controls.tick()
        assert calls == ["1", "3", "1"]

    def test_takes_the_most_frequent_action_in_a_new_sequence(self) -> None:
        controls, calls = self.controls()
        for name in ("2", "2", "3"):
            hit(controls, name)
            controls.tick()
        hit(controls, "0")
        controls.tick()
        assert calls == ["2", "2", "3", "0", "2"]

    def test_goes_back_while_backspace_is_held(self) -> None:
        controls, calls = self.controls()
        hit(controls, "1")
        for _ in range(3):
            controls.tick()
        controls.press(key("BACKSPACE"))
        controls.tick()
        controls.release(key("BACKSPACE"))
        controls.tick()
        assert calls == ["1", "1", "1", "<", "<", "1"]

    def test_pause_and_help_stop_time_and_actions_go_frame_by_frame(self) -> None:
        controls, calls = self.controls(idle_action=1)
        assert controls.is_running
        for name in ("SPACE", "h"):
            hit(controls, name)
            assert not controls.is_running
            hit(controls, "2")
            hit(controls, name)
            assert controls.is_running
        assert calls == ["2", "2"]

    def test_is_switched(self) -> None:
        controls, _ = self.controls(idle_action=1)
        hit(controls, "SPACE", "t")
        assert not controls.real_time
        hit(controls, "t")
        assert controls.is_running


class TestPace:
    def test_frames_are_due_once_a_period(self) -> None:
        pace = Pace(fps=4)
        times = [now / 16 for now in range(17) if pace.take(now / 16)]
        assert times == [0, 0.25, 0.5, 0.75, 1]
        assert pace.rate == 4
        assert pace.seconds_left(1.125) == 0.125

    def test_keeps_its_rate_when_frames_are_a_little_late(self) -> None:
        pace = Pace(fps=4)
        assert [pace.take(now) for now in (0, 0.3125, 0.5, 0.6875, 0.75)] == [True, True, True, False, True]

    def test_does_not_make_up_for_what_is_late(self) -> None:
        pace = Pace(fps=4)
        assert [pace.take(now) for now in (0, 3, 3.001, 3.125, 3.25)] == [True, True, True, False, True]

    def test_begins_at_once_after_a_stop(self) -> None:
        pace = Pace(fps=4)
        pace.take(1)
        pace.stop()
        assert pace.rate == 0
        assert pace.take(1.01)

"""What a page does beside playing one game: a choice of games, links that replay, other keys, gamepads, threads."""

import base64
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from selenium.webdriver import ActionChains, Chrome, Keys

from benchmarks.browser import open_page
from tests.web.pages import Page
from utils.configuration import Configuration
from web.exporter import ExportOptions, export_games
from web.server import serving

ENCODE_AND_DECODE = """
const [texts, numStarts, numActions, done] = arguments;
const read = (decode, text) => {
  try {
    return decode(text, numStarts, numActions);
  } catch (error) {
    return error.constructor.name + ": " + error.message;
  }
};
import("./replay.js").then(({ decode }) => done(texts.map((text) => read(decode, text))));
"""

WRITE_AND_READ = """
const [recordings, done] = arguments;
const copy = ({ encode, decode }, recording) => {
  try {
    const text = encode(recording);
    return [text, decode(text, 8, 5)];
  } catch (error) {
    return error.message;
  }
};
import("./replay.js").then((replay) => done(recordings.map((recording) => copy(replay, recording))));
"""

CLIPBOARD = """
Object.defineProperty(navigator, "clipboard", {
  value: { writeText: async (link) => (window.copied = String(link)) },
});
"""

GAMEPAD = """
const [buttons, axes] = arguments;
const pad = { buttons: Array.from({ length: 16 }, (_, number) => ({ pressed: buttons.includes(number) })), axes };
navigator.getGamepads = () => [null, pad];
"""


STORED_KEYS = """
const [stored, done] = arguments;
const usual = new Map([["action 1", { code: "Digit1", label: "1" }]]);
const label = (Keys, text) => {
  localStorage.setItem("playable-video.keys.tried", text);
  const keys = new Keys("tried", usual);
  localStorage.removeItem("playable-video.keys.tried");
  return keys.find("Digit1") && keys.of("action 1").label;
};
import("./keys.js").then(({ Keys }) => done(stored.map((text) => label(Keys, text))));
"""


class TestChoice:
    @pytest.fixture(scope="class")
    @staticmethod
    def games(noisy_config: Configuration, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
        """A page of two games."""
        directory = tmp_path_factory.mktemp("games")
        export_games([(noisy_config, None)] * 2, ExportOptions(directory))
        with serving(directory) as address:
            yield address

    def test_is_by_picture_name_size_and_actions(self, browser: Chrome, games: str) -> None:
        open_page(browser, games)
        page = Page(browser)
        page.wait_until(lambda: len(page["games"].find_elements("tag name", "a")) == 2)
        first, second = page["games"].find_elements("tag name", "a")
        assert not page["controls"].is_displayed()
        assert first.find_element("tag name", "canvas").get_property("width") == 32
        name, facts = second.text.splitlines()
        assert name == "Square-2"
        assert facts.endswith("MB · 3 actions: 1, 2, 3")
        second.click()
        page.wait_until(lambda: browser.title == "Square-2" and page["back-end"].text.startswith("WebAssembly"))
        assert browser.current_url == f"{games}#game=square-2"
        ActionChains(browser).key_down("1").perform()
        page.wait_until(lambda: page["rate"].text not in ("", "–"))
        ActionChains(browser).key_up("1").perform()
        page["all-games"].click()
        page.wait_until(lambda: page["games"].is_displayed())

    def test_of_an_unknown_game_is_told(self, browser: Chrome, games: str) -> None:
        browser.get("about:blank")
        open_page(browser, f"{games}#game=tetris")
        page = Page(browser)
        page.wait_until(lambda: page["games"].text)
        assert page["games"].text.startswith("There is no game tetris here. Choose a game.")


class TestLinks:
    def open(self, browser: Chrome, link: str) -> Page:
        browser.get("about:blank")  # else a page with another fragment is the same page
        open_page(browser, link)
        return Page(browser)

    def test_replay_the_game_and_let_it_go_on(self, browser: Chrome, noisy: str) -> None:
        page = self.open(browser, noisy)
        browser.execute_script(CLIPBOARD)
        page.press("t", "0")
        page.act(0, 0, 1)
        page.press("n")
        page.act(2, 2)
        page.press(Keys.BACKSPACE)
        page.wait_for_step(4)
        last = page.pixels
        page.press("l")
        page.wait_until(lambda: page["told"].text == "Link copied: it replays the game so far")
        link = browser.execute_script("return window.copied")
        assert link.startswith(f"{noisy}#game=square&replay=")
        assert len(link) < 100

        page = self.open(browser, link)
        page.wait_for_step(4)
        assert not page["replaying"].is_displayed()
        assert (page.pixels == last).all()
        page.press("1")
        page.wait_for_step(5)

    def test_a_press_takes_over(self, browser: Chrome, noisy: str) -> None:
        page = self.open(browser, f"{noisy}#replay={text(1, 0, 0, 0, *number(5000))}")
        page.wait_until(lambda: page.num_steps > 1)
        assert "steps to go" in page["replaying"].text
        page.press("t", "3")
        page.wait_until(lambda: page.is_taken(2))
        assert page.num_steps < 100
        assert not page["replaying"].is_displayed()

    @pytest.mark.parametrize(
        ("fragment", "told"),
        [
            ("replay=AAAA", "it is of version 0, and this page of version 1"),
            ("game=other&replay=AQAA", "it is of another game"),
        ],
    )
    def test_that_cannot_be_replayed_are_told(self, browser: Chrome, noisy: str, fragment: str, told: str) -> None:
        page = self.open(browser, f"{noisy}#{fragment}")
        page.wait_until(lambda: page["told"].text == f"The link cannot be replayed: {told}.")
        assert page.num_steps == 0

    def test_of_any_contents_are_read_or_refused(self, page: Page) -> None:
        damaged = "ReplayError: it is damaged"
        expected = {
            text(1, 7, 0, 3, 2): {"start": 7, "seed": 0, "steps": [{"action": 1, "noise": True}] * 2},
            text(1, 0, 0): {"start": 0, "seed": 0, "steps": []},
            "": damaged,
            "A": damaged,
            "AQAA=": damaged,
            "<script>": damaged,
            text(1): damaged,
            text(1, 0, 0, 2): damaged,
            text(1, 0, 0, 2, 255): damaged,
            text(1, 0, *[255] * 200, 1): damaged,
            text(2, 0, 0): "ReplayError: it is of version 2, and this page of version 1",
            text(1, 8, 0): "ReplayError: it begins from frame 9, and there are 8",
            text(1, 0, 0, 6, 1): "ReplayError: it takes action 4, and there are 3",
            text(1, 0, 0, 0, *number(2**32 - 1)): "ReplayError: it has more than 10000 steps",
            text(1, 0, 0, *[0, *number(6000)] * 2): "ReplayError: it has more than 10000 steps",
            "A" * 2001: "ReplayError: it has 2001 characters, and 2000 are the most",
        }
        found = page.browser.execute_async_script(ENCODE_AND_DECODE, list(expected), 8, 3)
        assert dict(zip(expected, found, strict=True)) == expected

    def test_hold_what_was_played(self, page: Page) -> None:
        random = np.random.default_rng(0)
        steps: list[object] = [
            {"action": int(action), "noise": bool(noise)}
            for action, noise in zip(random.integers(5, size=300), random.integers(2, size=300), strict=True)
        ]
        played = {"start": 3, "seed": 2**32 - 1, "steps": steps}
        same: list[object] = [{"action": 4, "noise": False}] * 10_000
        held = {"start": 0, "seed": 0, "steps": same}
        written = [played, held, {**held, "steps": same + steps[:1]}, {**played, "steps": steps * 4}]
        (long, first), (short, second), *refused = page.browser.execute_async_script(WRITE_AND_READ, written)
        assert [first, second] == [played, held]
        assert len(long) < 900
        assert len(short) < 12
        assert refused == [
            "it has 10001 steps, and a link holds 10000",
            "its actions change more often than a link holds",
        ]


class TestKeys:
    def button(self, page: Page, number: int) -> str:
        return page["actions"].find_elements("tag name", "button")[number].text

    def test_can_be_others_and_are_kept(self, page: Page, browser: Chrome, url: str) -> None:
        page.press("h")
        page["help"].find_element("tag name", "summary").click()
        choices = page["own-keys"].find_elements("tag name", "button")
        assert [choice.text.split()[0] for choice in choices[:4]] == ["left", "stay", "right", "Back"]
        choices[0].click()
        page.press("r", Keys.ESCAPE)  # the key of another control, which gets the first one's
        page.wait_until(lambda: not page["help"].is_displayed())
        assert self.button(page, 0).split() == ["left", "R"]
        page.press("r")
        page.wait_until(lambda: page.is_taken(0))
        page.press("1")
        page.wait_for_step(0)

        open_page(browser, url)
        page.press("t", "r")
        page.wait_until(lambda: page.is_taken(0))
        page.press("h")
        assert page["keys"].find_element("tag name", "dt").text == "R 2 3"
        page["help"].find_element("tag name", "summary").click()
        page["usual-keys"].click()
        assert browser.execute_script("return localStorage.length") == 0
        page.press(Keys.ESCAPE)
        page.wait_until(lambda: not page["help"].is_displayed())
        num_steps = page.num_steps
        page.press("1")
        page.wait_until(lambda: page.num_steps > num_steps)
        assert self.button(page, 0).split() == ["left", "1"]

    def test_that_are_stored_wrongly_are_the_usual_ones(self, page: Page) -> None:
        stored = ["{", "{}", '[[], ["action 1", {"code": 5}], ["x", {"code": "", "label": ""}]]']
        assert page.browser.execute_async_script(STORED_KEYS, stored) == ["1"] * 3


def test_gamepads_take_actions(page: Page) -> None:
    press = page.browser.execute_script
    presses = [([14], [0, 0], 0), ([], [0.9, 0], 2), ([0], [0, 0], 1), ([], [-0.9, 0.2], 0)]
    for number, (buttons, axes, action) in enumerate(presses, start=1):
        press(GAMEPAD, buttons, axes)
        page.wait_until(partial(reaches, page, number, action))
        press(GAMEPAD, [], [0.1, 0])
    steps = page.num_steps
    press(GAMEPAD, [8], [])
    page.wait_until(lambda: page.num_steps < steps)
    press(GAMEPAD, [], [])


def test_a_service_worker_allows_threads_where_the_server_sends_no_headers(browser: Chrome, plain_url: str) -> None:
    browser.get(plain_url)
    page = Page(browser)
    page.wait_until(lambda: browser.execute_script("return crossOriginIsolated"))
    page.wait_until(lambda: browser.execute_script("return !document.getElementById('controls').inert"))
    scope = "return navigator.serviceWorker.getRegistration().then(({ scope }) => scope)"
    assert browser.execute_script(scope) == plain_url
    page.press("1")
    page.wait_until(lambda: page.num_steps > 0)


def test_none_is_used_where_the_server_sends_them(page: Page) -> None:
    assert page.browser.execute_script("return navigator.serviceWorker.getRegistrations()") == []


def reaches(page: Page, num_steps: int, action: int) -> bool:
    """Whether a page has taken some steps, of which the last one is of an action."""
    return page.num_steps >= num_steps and page.is_taken(action)


def number(value: int) -> list[int]:
    """A number as a link has it: seven bits a byte, the lowest first."""
    return [value] if value < 128 else [value % 128 + 128, *number(value // 128)]


def text(*values: int) -> str:
    """Bytes as a link has them."""
    return base64.urlsafe_b64encode(bytes(values)).decode().rstrip("=")

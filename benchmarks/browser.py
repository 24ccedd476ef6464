"""Timing of an exported page in headless Chromium, which has no GPU and computes with WebAssembly."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.support.wait import WebDriverWait

from utils.command import UserError
from web.server import serving

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
DRIVER = "chromedriver"

LOADING_SECONDS = 60
"""Time limit until a page can be played."""

SCRIPT_SECONDS = 300
WARM_UP_STEPS = 5

TIMED_STEPS = """
const [numSteps, warmUpSteps, done] = arguments;
const play = async (game, screen, steps) => {
  const numActions = game.model.game.actions.length;
  for (let step = 0; step < steps; step++) {
    await game.act(step % numActions);
    screen.show(game.frame);
  }
};
const time = async () => {
  const { player, screen } = await (await import("./page.js")).ready;
  await play(player.game, screen, warmUpSteps);
  const start = performance.now();
  await play(player.game, screen, numSteps);
  return (performance.now() - start) / 1000;
};
time().then(done, (error) => done(String(error)));
"""


@dataclass(frozen=True)
class BrowserSpeed:
    """The speed of a page."""

    frames_per_second: float
    back_end: str
    """The back end that the page names."""
    browser: str
    """The browser with its version."""


def measure_in_browser(directory: Path, num_steps: int = 100) -> BrowserSpeed:
    """Time the steps of an exported folder in headless Chromium: computing and drawing, as fast as possible.

    Raises:
        UserError: Chromium or its driver is missing, or the page cannot be played.
    """
    with serving(directory) as url, chromium() as browser:
        open_page(browser, url)
        seconds = browser.execute_async_script(TIMED_STEPS, num_steps, WARM_UP_STEPS)
        if isinstance(seconds, str):
            raise UserError(f"{directory}: the page stopped: {seconds}; export it again")
        return BrowserSpeed(
            frames_per_second=num_steps / seconds,
            back_end=browser.find_element("id", "back-end").text,
            browser=f"Chromium {browser.capabilities['browserVersion']}",
        )


def missing_programs() -> list[str]:
    """Return the programs that a browser needs and this machine lacks."""
    return [
        *(["chromium"] if not any(map(shutil.which, CHROMIUM)) else []),
        *([DRIVER] if not shutil.which(DRIVER) else []),
    ]


@contextlib.contextmanager
def chromium(*arguments: str, mobile: tuple[int, int] | None = None) -> Iterator[Chrome]:
    """Open a headless Chromium, which is closed at the end of the `with` block.

    Args:
        arguments: command-line arguments, such as `--window-size=1280,800`.
        mobile: width and height of a telephone to emulate, with touch and a pixel ratio of 3.

    Raises:
        UserError: a program is missing.
    """
    missing = missing_programs()
    if missing:
        raise UserError(f"{' and '.join(missing)}: not installed; Debian: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = next(path for path in map(shutil.which, CHROMIUM) if path)
    as_root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    for argument in ("--headless=new", "--disable-dev-shm-usage", *as_root, *arguments):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    if mobile:
        metrics = {"width": mobile[0], "height": mobile[1], "pixelRatio": 3.0, "touch": True}
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    browser = Chrome(options=options, service=ChromeService(shutil.which(DRIVER)))
    browser.set_script_timeout(SCRIPT_SECONDS)
    try:
        yield browser
    finally:
        browser.quit()


def open_page(browser: Chrome, url: str) -> None:
    """Open an exported page and wait until it can be played.

    Raises:
        UserError: it cannot be played; the message is the page's.
    """
    browser.get(url)
    loading = browser.find_element("id", "loading")
    WebDriverWait(browser, LOADING_SECONDS, poll_frequency=0.05).until(lambda _: not loading.is_displayed())
    failure = browser.find_element("id", "failure")
    if failure.is_displayed():
        raise UserError(f"{url}: {failure.text}")


def requested_addresses(browser: Chrome) -> list[str]:
    """Return the addresses that a browser has requested since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]

"""The page in Firefox. Debian: apt-get install firefox-esr."""

import base64
import os
from collections.abc import Iterator

import numpy as np
import pytest

from tests.web.firefox import Firefox, find_firefox, firefox
from tests.web.pages import PIXELS, SCRIPT, TOLERANCE

CAN_BE_PLAYED = "document.getElementById('loading').hidden && !document.getElementById('controls').inert"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """Firefox in place of Chromium."""
    if find_firefox() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Firefox not installed: apt-get install firefox-esr")
    with firefox(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


def test_plays_the_same_frames(browser: Firefox, url: str, played: np.ndarray) -> None:
    browser.open(url)
    browser.wait_until(CAN_BE_PLAYED)
    browser.press("t")
    for number, action in enumerate(SCRIPT, start=1):
        browser.evaluate(f"document.getElementById('actions').children[{action}].click()")
        browser.wait_until(f"document.getElementById('frame').textContent === '{number}'")
    width, height, data = browser.evaluate(f"(() => {{{PIXELS}}})()")
    frame = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[..., :3].astype(int)
    assert np.abs(frame - played).max() <= TOLERANCE
    assert browser.evaluate("navigator.serviceWorker.getRegistration()") is None


def test_a_service_worker_allows_threads_where_the_server_sends_no_headers(browser: Firefox, plain_url: str) -> None:
    browser.open(plain_url)
    browser.wait_until(f"crossOriginIsolated && {CAN_BE_PLAYED}")
    browser.press("1")
    browser.wait_until("Number(document.getElementById('frame').textContent) > 0")

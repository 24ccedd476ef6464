"""A headless Firefox, which speaks WebDriver BiDi by itself: https://w3c.github.io/webdriver-bidi/."""

import itertools
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

FIREFOX = ("firefox-esr", "firefox")
SECONDS = 90
"""Time limit of what is waited for; starting takes longest."""

LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")


def find_firefox() -> str | None:
    """Return the path of the program, None without one."""
    return next(filter(None, map(shutil.which, FIREFOX)), None)


class Firefox:
    """The one tab of a Firefox."""

    def __init__(self, address: str) -> None:
        """Begin a session with a browser that listens at an address."""
        self._socket = websocket.create_connection(f"{address}/session", timeout=SECONDS, suppress_origin=True)
        self._numbers = itertools.count()
        self.command("session.new", capabilities={})
        self._context = self.command("browsingContext.getTree")["contexts"][0]["context"]

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv())).get("id") != number:
            pass  # an event
        assert answer["type"] == "success", answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, url: str) -> None:
        """Open a page."""
        self.command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; promises are awaited."""
        wrapped = f"(async () => JSON.stringify((await ({expression})) ?? null))()"
        target = {"context": self._context}
        answer = self.command("script.evaluate", expression=wrapped, target=target, awaitPromise=True)
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        keyboard = {"type": "key", "id": "keyboard", "actions": actions}
        self.command("input.performActions", context=self._context, actions=[keyboard])

    def wait_until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true; one that fails, as while a page loads, is not."""
        wait_until(lambda: self.evaluate(f"(async () => {expression})().catch(() => false)"))

    def close(self) -> None:
        """End the session."""
        self._socket.close()


@contextmanager
def firefox(profile: Path) -> Iterator[Firefox]:
    """Start Firefox with an empty folder as its profile; it is closed at the end of the `with` block."""
    program = find_firefox()
    assert program is not None
    log = profile.with_suffix(".log")
    command = [program, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            wait_until(lambda: LISTENING.search(log.read_text()))
            listening = LISTENING.search(log.read_text())
            assert listening is not None
            browser = Firefox(listening[1])
            yield browser
            browser.close()
        finally:
            process.terminate()


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "Firefox did not follow"
        time.sleep(0.05)

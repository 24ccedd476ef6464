"""An exported page, open in a browser."""

import base64
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

DESKTOP = (1280, 800)

SCRIPT = (2, 2, 0, 0, 0, 1, 2, 0, 1, 2)
TOLERANCE = 3
"""Of 255, between the canvas and PyTorch's frames."""

SECONDS = 60
"""How long the page may take to follow; most things take a few hundredths."""

PIXELS = """
const canvas = document.getElementById("screen");
const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
return [canvas.width, canvas.height, btoa(Array.from(data, (value) => String.fromCharCode(value)).join(""))];
"""


@dataclass(frozen=True)
class Page:
    """An open page, as a player has it."""

    browser: Chrome

    def __getitem__(self, name: str) -> WebElement:
        return self.browser.find_element("id", name)

    def press(self, *keys: str) -> None:
        """Press keys one after the other, each as soon as the one before was followed."""
        for key in keys:
            ActionChains(self.browser, duration=0).send_keys(key).perform()

    def act(self, *actions: int) -> None:
        """Take actions, 0 to K - 1, by number keys, step by step."""
        for num_steps, action in enumerate(actions, self.num_steps + 1):
            self.press(str(action + 1))
            self.wait_for_step(num_steps)

    def wait_for_step(self, number: int) -> None:
        self.wait_until(lambda: self.num_steps == number)

    def wait_until(self, condition: Callable[[], object]) -> None:
        WebDriverWait(self.browser, SECONDS, poll_frequency=0.02).until(lambda _: condition())

    @property
    def num_steps(self) -> int:
        return int(self["frame"].text)

    @property
    def pixels(self) -> np.ndarray:
        """What the canvas shows, int (H, W, 3)."""
        width, height, data = self.browser.execute_script(PIXELS)
        return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[..., :3].astype(int)

    def is_taken(self, action: int) -> bool:
        """Whether an action is shown as the one that led to the present frame, and no other is."""
        buttons = self["actions"].find_elements("tag name", "button")
        taken = [number for number, button in enumerate(buttons) if button.get_attribute("class") == "taken"]
        return taken == [action]

    @property
    def news(self) -> str | None:
        """What a screen reader was told last."""
        return self["news"].get_attribute("textContent")

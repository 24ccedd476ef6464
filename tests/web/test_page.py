"""The page in a real browser: Chromium without a screen, served from loopback or opened from disk.

Debian has both programs: apt-get install chromium chromium-driver. The runtime comes from npm, once.
"""

import io
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from imageio_ffmpeg import read_frames
from PIL import Image
from selenium.webdriver import ActionChains, Chrome, Keys

from benchmarks.browser import chromium, measure_in_browser, open_page, requested_addresses
from tests.web.pages import SCRIPT, TOLERANCE, Page
from utils.command import UserError
from utils.configuration import Configuration
from web.exporter import ExportOptions, export_page
from web.server import serving
from web.single_file import write_single_file

PHONE = (390, 844)


@pytest.fixture(scope="module")
def from_disk(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same as a single file."""
    path = tmp_path_factory.mktemp("single") / "breakout.html"
    write_single_file(exported, path)
    return path.as_uri()


class TestFrames:
    @pytest.mark.parametrize("way", ["url", "from_disk"])
    def test_are_those_of_pytorch_and_nothing_is_requested_from_elsewhere(
        self, way: str, browser: Chrome, exported: Path, played: np.ndarray, request: pytest.FixtureRequest
    ) -> None:
        address = request.getfixturevalue(way)
        requested_addresses(browser)
        open_page(browser, address)
        page = Page(browser)
        page.press("t")
        page.act(*SCRIPT)

        assert np.abs(page.pixels - played).max() <= TOLERANCE
        assert np.abs(page.pixels - np.array(Image.open(exported / "starts/00.png"))).max() > 100

        addresses = requested_addresses(browser)
        assert address in addresses
        local = (address,) if way == "from_disk" else (f"{urlsplit(address).scheme}://{urlsplit(address).netloc}/",)
        assert [each for each in addresses if not each.startswith((*local, "blob:", "data:"))] == []

    @pytest.mark.parametrize("way", ["url", "from_disk"])
    def test_no_code_but_the_page_s_own_runs_and_nothing_else_is_fetched(
        self, way: str, browser: Chrome, request: pytest.FixtureRequest
    ) -> None:
        browser.get_log("browser")
        open_page(browser, request.getfixturevalue(way))
        messages = [entry["message"] for entry in browser.get_log("browser")]
        assert [message for message in messages if "Content Security Policy" in message] == []
        refused = browser.execute_async_script(
            """
            const [done] = arguments;
            const refused = [];
            document.addEventListener("securitypolicyviolation", (event) => {
              refused.push(event.effectiveDirective);
              if (refused.length === 3) done(refused);
            });
            const script = document.createElement("script");
            script.textContent = "document.title = 'taken over'";
            document.body.append(script);
            fetch("http://127.0.0.1:9/").catch(() => {});
            document.body.append(Object.assign(new Image(), { src: "http://127.0.0.1:9/" }));
            """
        )
        assert sorted(refused) == ["connect-src", "img-src", "script-src-elem"]
        assert browser.title != "taken over"

    def test_follow_the_action(self, page: Page) -> None:
        frames = {}
        for action in (0, 2):
            page.press("r")
            page.wait_for_step(0)
            page.act(*[action] * 4)
            frames[action] = page.pixels
        paddle = slice(80, 90)  # its lines
        assert np.abs(frames[0][paddle] - frames[2][paddle]).max() > 100

    def test_arrow_keys_take_the_actions_that_are_called_like_them(self, page: Page) -> None:
        page.act(2, 2)
        by_number = page.pixels
        page.press("r", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        page.wait_for_step(2)
        assert (page.pixels == by_number).all()

    def test_step_back_is_exact(self, page: Page) -> None:
        page.act(2)
        first = page.pixels
        page.act(0)
        assert (page.pixels != first).any()
        page.press(Keys.BACKSPACE)
        page.wait_for_step(1)
        assert (page.pixels == first).all()
        page.press(*[Keys.BACKSPACE] * 3)
        page.wait_for_step(0)

    def test_reset_keeps_the_start_and_a_new_one_differs(self, page: Page) -> None:
        start = page.pixels
        page.act(2)
        page.press("r")
        page.wait_for_step(0)
        assert (page.pixels == start).all()
        page.press("0")
        page.wait_until(lambda: (page.pixels != start).any())

    def test_early_ones_are_forgotten_and_their_memory_is_freed(self, page: Page) -> None:
        num_rewinds, freed = page.browser.execute_async_script(
            """
            const done = arguments[0];
            const freed = [];
            const moment = (step) => ({ step, dispose: () => freed.push(step) });
            const model = {
              game: { variation_dimension: 1 },
              momentBytes: 100e6,
              start: () => moment(0),
              step: async ({ step }) => moment(step + 1),
            };
            const play = async () => {
              const { Game } = await import("./game.js");
              const game = new Game(model, [null]);
              for (let step = 0; step < 5; step++) await game.act(0);
              let numRewinds = 0;
              for (; game.canRewind; numRewinds++) game.rewind();
              return [numRewinds, freed];
            };
            play().then(done);
            """
        )
        assert num_rewinds == 2  # three moments of 100 MB are kept
        assert freed == [0, 1, 2, 5, 4]


class TestRealTime:
    @pytest.fixture
    def running(self, page: Page) -> Page:
        page.press("t")
        return page

    def test_waits_for_the_first_action_then_goes_on(self, running: Page) -> None:
        time.sleep(0.3)
        assert running.num_steps == 0
        running.press("1")
        running.wait_until(lambda: running.num_steps > 5)  # "stay", once 1 is let go
        assert running.is_taken(1)

    def test_goes_at_the_chosen_speed(self, running: Page) -> None:
        running.browser.execute_script(
            "const slider = arguments[0]; slider.value = 5; slider.dispatchEvent(new Event('input'))", running["speed"]
        )
        assert running["speed-shown"].text == "5 frames/s"
        running.press("1")
        time.sleep(2)
        assert 7 <= running.num_steps <= 12
        assert float(running["rate"].text) == pytest.approx(5, rel=0.2)

    def test_holding_a_key_holds_the_action(self, running: Page) -> None:
        ActionChains(running.browser).key_down("3").perform()
        running.wait_until(lambda: running.num_steps > 4)
        assert running.is_taken(2)
        ActionChains(running.browser).key_up("3").perform()

    def test_holding_a_button_holds_the_action(self, running: Page) -> None:
        left = running["actions"].find_elements("tag name", "button")[0]
        ActionChains(running.browser).click_and_hold(left).perform()
        running.wait_until(lambda: running.num_steps > 4)
        assert running.is_taken(0)
        ActionChains(running.browser).release().perform()
        running.wait_until(lambda: running.is_taken(1))

    def test_space_pauses(self, running: Page) -> None:
        running.press("1")
        running.wait_until(lambda: running.num_steps > 0)
        running.press(" ")
        running.wait_until(lambda: running.news == "Paused")
        time.sleep(0.2)
        paused = running.num_steps
        time.sleep(0.3)
        assert running.num_steps == paused
        running.press("2")
        running.wait_until(lambda: running.num_steps == paused + 1)
        running.press(" ")
        running.wait_until(lambda: running.num_steps > paused + 2)

    def test_there_is_no_pause_step_by_step(self, page: Page) -> None:
        before = page.news
        page.press(" ")
        assert page.news == before == "Step by step"
        assert not page["pause"].is_enabled()

    def test_idle_time_can_wait_instead(self, running: Page) -> None:
        running["idle"].find_elements("tag name", "option")[0].click()
        running.press("1")
        running.wait_until(lambda: running.num_steps > 0)
        time.sleep(0.3)
        assert running.num_steps <= 2

    def test_pace_never_makes_up_for_what_is_late(self, page: Page) -> None:
        taken = page.browser.execute_async_script(
            """
            const done = arguments[0];
            import("./pace.js").then(({ Pace }) => {
              const pace = new Pace(10);
              done([0, 50, 99, 100, 150, 1000, 1001, 1100, 1150, 1200].map((now) => pace.take(now)));
            });
            """
        )
        assert taken == [True, False, False, True, False, True, True, True, False, True]


class TestRecording:
    def test_is_a_video_of_the_game(self, page: Page, tmp_path: Path) -> None:
        page.browser.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path), "eventsEnabled": False}
        )
        page.press("v")
        for action in (2, 2, 2, 2):
            page.act(action)
            time.sleep(0.1)
        last = page.pixels
        page.press("v")
        path = tmp_path / "00_breakout_play.webm"
        page.wait_until(path.exists)
        frames = read_frames(str(path))
        assert next(frames)["size"] == (400, 480)
        *_, final = frames
        video = np.frombuffer(final, np.uint8).reshape(480, 400, 3)[2::5, 2::5].astype(int)
        assert np.abs(video - last).mean() < 8


class TestNoise:
    def test_varies_what_actions_do(self, browser: Chrome, noisy: str) -> None:
        open_page(browser, noisy)
        page = Page(browser)
        page.press("t")
        frames = []
        for keys in ("r", "r", "rn", "r"):
            page.press(*keys)
            page.wait_for_step(0)
            page.act(0, 1)
            frames.append(page.pixels)
        plain, again, noise, more_noise = frames
        assert (plain == again).all()
        assert (plain != noise).any()
        assert (noise != more_noise).any()
        assert page["noise"].get_attribute("aria-pressed") == "true"

    def test_is_not_offered_where_it_does_nothing(self, page: Page) -> None:
        assert not page["noise"].is_displayed()
        page.press("n")
        assert page.news != "Noise on"


class TestWebGpu:
    """With a GPU that is computed in software, which takes seconds for what a real one does at once."""

    @pytest.fixture(scope="module")
    @staticmethod
    def gpu_browser() -> Iterator[Chrome]:
        flags = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
        with chromium(*flags) as driver:
            yield driver

    def test_frames_are_those_of_webassembly(self, gpu_browser: Chrome, noisy: str) -> None:
        page = Page(gpu_browser)
        frames = {}
        for address in (noisy, f"{noisy}?backend=wasm"):
            open_page(gpu_browser, address)
            page.press("t")
            page.act(0, 1)
            frames[page["back-end"].text.split(",")[0]] = page.pixels
            assert not page["note"].is_displayed()
        assert set(frames) == {"WebGPU", "WebAssembly"}
        assert np.abs(frames["WebGPU"] - frames["WebAssembly"]).max() <= TOLERANCE

    def test_is_not_used_where_it_computes_wrong_frames(
        self, gpu_browser: Chrome, noisy_config: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("web.onnx_layers._num_empty_channels", lambda _: 0)
        export_page(noisy_config, ExportOptions(tmp_path / "page"))
        with serving(tmp_path / "page") as address:
            open_page(gpu_browser, address)
        page = Page(gpu_browser)
        assert page["back-end"].text.startswith("WebAssembly")
        assert page["note"].text == "The graphics processor is not used: it computes wrong frames."


class TestErrors:
    def told(self, browser: Chrome, address: str) -> str:
        """The words of a page that cannot be played; nothing else of it can be used then."""
        with pytest.raises(UserError) as error:
            open_page(browser, address)
        assert browser.find_element("id", "controls").get_property("inert")
        return str(error.value)

    def told_of(self, browser: Chrome, directory: Path) -> str:
        with serving(directory) as address:
            return self.told(browser, address)

    def change(self, copy: Path, **values: object) -> None:
        game = json.loads((copy / "game.json").read_text()) | values
        (copy / "game.json").unlink()
        (copy / "game.json").write_text(json.dumps(game))

    def test_another_format(self, browser: Chrome, copy: Path) -> None:
        self.change(copy, format_version=2)
        assert "game.json is of format 2, this page of format 1. Export again" in self.told_of(browser, copy)

    def test_damaged_description(self, browser: Chrome, copy: Path) -> None:
        (copy / "game.json").unlink()
        (copy / "game.json").write_text("{")
        assert "game.json is damaged. Export the game again." in self.told_of(browser, copy)

    @pytest.mark.parametrize("name", ["game.json", "model.onnx", "starts/03.png", "runtime/ort.wasm.bundle.min.mjs"])
    def test_missing_file(self, browser: Chrome, copy: Path, name: str) -> None:
        (copy / name).unlink()
        told = self.told_of(browser, copy)
        assert f"{name} is missing (the server says 404). Copy the exported folder again" in told

    def test_missing_module(self, browser: Chrome, copy: Path) -> None:
        (copy / "pace.js").unlink()
        assert "The page's modules did not load." in self.told_of(browser, copy)

    @pytest.mark.parametrize("name", ["model.onnx", "initial_state.bin"])
    def test_file_that_is_cut_short(self, browser: Chrome, copy: Path, name: str) -> None:
        contents = (copy / name).read_bytes()
        (copy / name).unlink()
        (copy / name).write_bytes(contents[:-100])
        told = self.told_of(browser, copy)
        assert f"{name} has {len(contents) - 100} bytes where {len(contents)} were exported. Copy" in told

    def test_damaged_starting_frame(self, browser: Chrome, copy: Path) -> None:
        (copy / "starts/00.png").unlink()
        (copy / "starts/00.png").write_bytes(b"no picture")
        assert "starts/00.png is damaged. Copy" in self.told_of(browser, copy)

    def test_wrong_frames(self, browser: Chrome, copy: Path) -> None:
        (copy / "starts/02.png").replace(copy / "first_frame.png")
        shutil.copyfile(copy / "first_frame.png", copy / "starts/02.png")
        assert "This browser cannot run the model: it computes wrong frames. Use" in self.told_of(browser, copy)

    def test_runtime_of_another_hash_is_not_run(self, browser: Chrome, copy: Path) -> None:
        name = "runtime/ort.wasm.bundle.min.mjs"
        (copy / name).unlink()
        (copy / name).write_text("document.title = 'run'; export const env = {};")
        assert f"{name} is not the file that was pinned, and is not run." in self.told_of(browser, copy)
        assert browser.title != "run"

    def test_opened_from_disk_without_being_a_single_file(self, browser: Chrome, exported: Path) -> None:
        told = self.told(browser, (exported / "index.html").as_uri())
        assert "Browsers do not let a page read other files from disk" in told
        assert "--single_file" in told

    def test_no_webassembly(self, browser: Chrome, url: str) -> None:
        added = browser.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument", {"source": "delete globalThis.WebAssembly"}
        )
        try:
            assert "This browser has no WebAssembly" in self.told(browser, url)
        finally:
            browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)

    def test_model_that_cannot_be_run(self, browser: Chrome, copy: Path) -> None:
        size = (copy / "model.onnx").stat().st_size
        (copy / "model.onnx").unlink()
        (copy / "model.onnx").write_bytes(b"x" * size)
        assert "This browser cannot run the model: " in self.told_of(browser, copy)


class TestForEveryone:
    @pytest.fixture(params=["light", "dark"])
    def scheme(self, request: pytest.FixtureRequest, browser: Chrome) -> Iterator[str]:
        emulate_scheme(browser, request.param)
        yield request.param
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    @pytest.mark.usefixtures("scheme")
    def test_text_stands_out(self, page: Page) -> None:
        style = "const style = getComputedStyle(document.documentElement);"
        names = ("ground", "surface", "text", "faint", "accent", "on-accent", "danger")
        colours = page.browser.execute_script(
            f"{style} return arguments[0].map((name) => style.getPropertyValue(`--${{name}}`).trim());", names
        )
        colour = dict(zip(names, colours, strict=True))
        pairs = [*itertools.product(("text", "faint", "accent", "danger"), ("ground", "surface"))]
        for front, back in [*pairs, ("on-accent", "accent")]:
            assert contrast(colour[front], colour[back]) >= 4.5, (front, back)  # WCAG 2, AA

    def test_schemes_differ(self, page: Page) -> None:
        grounds = set()
        for scheme in ("light", "dark"):
            emulate_scheme(page.browser, scheme)
            grounds.add(page.browser.find_element("tag name", "body").value_of_css_property("background-color"))
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        assert len(grounds) == 2

    def test_everything_has_a_name_and_takes_the_focus(self, page: Page) -> None:
        controls = page["controls"].find_elements("css selector", "button, input, select")
        names = [each.accessible_name for each in controls if each.is_displayed()]
        assert [name.split()[0] for name in names] == [
            *("Left", "Stay", "Right"),
            *("New", "Reset", "Back", "Pause", "Real", "Record", "Copy", "Help"),
            *("Speed", "When"),
        ]
        page["new-start"].send_keys("")
        assert page.browser.switch_to.active_element == page["new-start"]
        assert page["screen"].accessible_name == "What the network imagines"

    def test_a_screen_reader_hears_what_happens(self, page: Page) -> None:
        assert page["news"].aria_role == "status"
        assert page["failure"].get_attribute("role") == "alert"
        page.press("t")
        assert page.news == "Real time"
        page.press("0")
        assert page.news == "New start"

    def test_enter_on_a_focused_button_takes_the_action(self, page: Page) -> None:
        page["actions"].find_elements("tag name", "button")[2].send_keys(Keys.ENTER)
        page.wait_for_step(1)

    def test_help_lists_the_keys(self, page: Page) -> None:
        page.press("h")
        page.wait_until(page["help"].is_displayed)
        terms = [term.text for term in page["keys"].find_elements("tag name", "dt")]
        assert terms == ["1 to 3", "← →", "⌫", "0", "R", "Space", "T", "V", "L", "H"]
        page.press("1", Keys.ESCAPE)
        page.wait_until(lambda: not page["help"].is_displayed())
        assert page.num_steps == 0

    def test_fits_a_desktop_without_scrolling(self, page: Page) -> None:
        assert page["back-end"].text == f"WebAssembly, {threads(os.cpu_count() or 1)}"
        assert not scrolls(page.browser, "Height")
        assert_crisp(page, minimal_width=400)

    def test_fits_a_telephone(self, url: str) -> None:
        with chromium(mobile=PHONE) as browser:
            open_page(browser, url)
            page = Page(browser)
            assert not scrolls(browser, "Width")
            assert not scrolls(browser, "Height")
            assert_crisp(page, minimal_width=320)
            buttons = [
                each for each in browser.find_elements("css selector", "#controls button") if each.is_displayed()
            ]
            assert min(button.size["height"] for button in buttons) >= 42
            (_, _, right) = page["actions"].find_elements("tag name", "button")
            touch = {"x": right.rect["x"] + 20, "y": right.rect["y"] + 20}
            browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [touch]})
            page.wait_until(lambda: page.num_steps > 4)
            assert page.is_taken(2)
            browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
            page.wait_until(lambda: page.is_taken(1))


def emulate_scheme(browser: Chrome, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def contrast(first: str, second: str) -> float:
    """The contrast of two colours such as #1c1d21, as WCAG 2 defines it: 1 to 21."""

    def luminance(colour: str) -> float:
        channels = np.frombuffer(bytes.fromhex(colour.removeprefix("#")), np.uint8) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def scrolls(browser: Chrome, side: str) -> bool:
    return browser.execute_script(
        f"const page = document.documentElement; return page.scroll{side} > page.client{side}"
    )


def assert_crisp(page: Page, minimal_width: int) -> None:
    """A pixel of a frame is a square of whole pixels of the display; no other colours are seen than the frame's."""
    box = "arguments[0].getBoundingClientRect()"
    ratio, width, height = page.browser.execute_script(
        f"return [1, {box}.width, {box}.height].map((length) => length * devicePixelRatio)", page["screen"]
    )
    assert width / 80 == pytest.approx(round(width / 80), abs=0.01)
    assert height / 96 == pytest.approx(width / 80, abs=0.01)
    assert width / ratio >= minimal_width
    page.browser.execute_script("arguments[0].hidden = true", page["hint"])
    seen = np.asarray(Image.open(io.BytesIO(page["screen"].screenshot_as_png)).convert("RGB"))
    inner = seen[24:-24, 24:-24].reshape(-1, 3)  # what is behind round corners left out
    frame = page.pixels.reshape(-1, 3)
    assert {*map(tuple, np.unique(inner, axis=0))} <= {*map(tuple, np.unique(frame, axis=0))}


def test_measurement(exported: Path) -> None:
    speed = measure_in_browser(exported, num_steps=10)
    assert speed.frames_per_second > 1
    assert speed.back_end.startswith("WebAssembly")
    assert speed.browser.startswith("Chromium")


def test_measurement_of_a_page_that_cannot_be_played(copy: Path) -> None:
    (copy / "model.onnx").unlink()
    with pytest.raises(UserError, match=r"model\.onnx is missing"):
        measure_in_browser(copy)

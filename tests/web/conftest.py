"""Pages, and a Chromium for each module that opens them, which ends with it: a page that is left open goes on."""

import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from selenium.webdriver import Chrome

from benchmarks.browser import chromium, missing_programs, open_page
from model.caddy import Caddy
from playing.game import Game
from playing.simulator import load_simulator
from playing.starting_frames import STARTING_FRAMES
from tests.synthetic import configuration_values, write_configuration
from tests.web.pages import DESKTOP, SCRIPT, Page
from utils.checkpoint import LATEST, save_checkpoint
from utils.command import UserError
from utils.configuration import Configuration, load_configuration
from web.exporter import ExportOptions, export_page
from web.runtime import find_runtime
from web.server import serving

REPOSITORY = Path(__file__).parents[2]


class SilentHandler(SimpleHTTPRequestHandler):
    """Python's own, without its log."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="session")
def _browser_and_runtime() -> None:
    """Skip where the set-up lacks what a browser test needs; fail in CI, whose set-up has it."""
    reasons = []
    if programs := missing_programs():
        reasons.append(f"{' and '.join(programs)} not installed: apt-get install chromium chromium-driver")
    try:
        find_runtime()
    except UserError as error:
        reasons.append(str(error))
    if reasons:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("; ".join(reasons))


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Configuration:
    """The trained model that comes with the repository, without a data set."""
    overrides = ["logging.run_name=00_breakout_play", f"data.data_root={tmp_path_factory.mktemp('none')}"]
    overrides.append(f"logging.save_root={REPOSITORY / 'checkpoints'}")
    return load_configuration(REPOSITORY / "configs/00_breakout_play.yaml", overrides)


@pytest.fixture(scope="session")
def exported(_browser_and_runtime: None, config: Configuration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its page."""
    directory = tmp_path_factory.mktemp("exported") / "page"
    export_page(config, ExportOptions(directory, action_names=["left", "stay", "right"], fps=15))
    return directory


@pytest.fixture(scope="session")
def url(exported: Path) -> Iterator[str]:
    """Where it is served."""
    with serving(exported) as address:
        yield address


@pytest.fixture(scope="session")
def played(exported: Path, config: Configuration) -> np.ndarray:
    """The frame to which `SCRIPT` leads in PyTorch from its first starting frame, uint8 (H, W, 3)."""
    start = np.array(Image.open(exported / "starts/00.png"))
    simulator, _ = load_simulator(config, torch.device("cpu"))
    game = Game(simulator, np.stack([start] * simulator.stack_shape[0]), seed=0)
    for action in SCRIPT:
        game.act(action)
    return game.frame


@pytest.fixture(scope="session")
def plain_url(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where it is served below another folder, without headers, as on GitHub Pages."""
    root = tmp_path_factory.mktemp("site")
    (root / "project").mkdir()
    (root / "project" / "play").symlink_to(exported)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SilentHandler, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/project/play/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def noisy_config(tmp_path_factory: pytest.TempPathFactory) -> Configuration:
    """A model with variations, two frames in an observation, and random weights, large enough for all to matter."""
    folder = tmp_path_factory.mktemp("noisy")
    values = configuration_values(folder)
    values["model"]["representation_network"]["state_features"] = 32
    for section in (values["training"], values["evaluation"]):
        section["batching"]["observation_stacking"] = 2
    config = load_configuration(write_configuration(folder, values))
    torch.manual_seed(0)
    model = Caddy(config).requires_grad_(False)
    for kernel in (parameter for parameter in model.parameters() if parameter.ndim == 4):
        kernel.mul_(4)
    contents = {
        "model": model.state_dict(),
        "config": config.model_dump(mode="json"),
        STARTING_FRAMES: torch.randint(0, 256, (2, 2, 32, 32, 3), dtype=torch.uint8),
    }
    save_checkpoint(config.logging.save_directory / LATEST, contents)
    return config


@pytest.fixture(scope="session")
def noisy(
    _browser_and_runtime: None, noisy_config: Configuration, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Its page."""
    directory = tmp_path_factory.mktemp("noisy_page")
    export_page(noisy_config, ExportOptions(directory))
    with serving(directory) as address:
        yield address


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """A copy of the folder that a test may damage: by removing and replacing files, never by writing into them."""
    return shutil.copytree(exported, tmp_path / "copy", copy_function=os.link)


@pytest.fixture(scope="module")
def browser(_browser_and_runtime: None) -> Iterator[Chrome]:
    with chromium(f"--window-size={DESKTOP[0]},{DESKTOP[1]}") as driver:
        yield driver


@pytest.fixture
def page(browser: Chrome, url: str) -> Page:
    """The page, served, step by step, before the first action."""
    open_page(browser, url)
    page = Page(browser)
    page.press("t")
    return page

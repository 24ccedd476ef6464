"""The Breakout model that comes with the repository obeys, and plays without data."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import torch

from evaluation.breakout.tracking import PaddleFinder
from playing.simulator import Simulator, load_simulator
from playing.starting_frames import STARTING_FRAMES
from tests.processes import succeed
from utils.checkpoint import load_checkpoint, stored_configuration
from utils.configuration import Configuration, load_configuration

REPOSITORY = Path(__file__).parent.parent
RUN = "00_breakout_play"
CHECKPOINT = REPOSITORY / "checkpoints" / RUN / "latest.pth.tar"
(REPORT,) = (REPOSITORY / "benchmarks/results").glob(f"playability.{RUN}.*.json")
HELD_STEPS = 12
"""Enough to come from one wall to the other, and to press against it for a while."""

SEEN_STEPS = 4
"""The last steps, in which the paddle is looked for: half behind the right wall it is dim in every other frame."""


def configuration() -> Configuration:
    overrides = [f"logging.run_name={RUN}", f"logging.save_root={REPOSITORY / 'checkpoints'}"]
    return load_configuration(REPOSITORY / "configs/00_breakout_play.yaml", overrides)


def paddles_after(simulator: Simulator, stacks: np.ndarray, find: PaddleFinder, action: int) -> np.ndarray:
    """Where the paddle is in the end of some steps in which an action is held: (games, ), NaN where it is not found."""
    moment = simulator.start(stacks)
    found = []
    for _ in range(HELD_STEPS):
        moment = simulator.step(moment, np.full(len(stacks), action))
        found.append(find(moment.frames))
    paddles: np.ndarray = np.nanmedian(found[-SEEN_STEPS:], axis=0)
    return paddles


def test_the_paddle_goes_where_it_is_sent() -> None:
    simulator, checkpoint = load_simulator(configuration(), torch.device("cpu"))
    stacks = checkpoint[STARTING_FRAMES].numpy()
    find = PaddleFinder.of(stacks[:, -1])
    keys = {meaning: int(key) for key, meaning in json.loads(REPORT.read_text())["results"]["meanings"].items()}
    left, right, stay = (paddles_after(simulator, stacks, find, keys[name] - 1) for name in ("left", "right", "stay"))
    assert (left <= 9).all()
    assert (right >= 74).all()
    assert (np.abs(stay - find(stacks[:, -1])) <= 4).all()  # it may slide on at first


def test_make_play_needs_nothing_but_the_repository(tmp_path: Path) -> None:
    recipe = (REPOSITORY / "Makefile").read_text()
    variables = dict(re.findall(r"^(\w+) := (.*)$", recipe, re.MULTILINE))
    (command,) = re.findall(r"^\t@\.venv/bin/python (play\.py .*)$", recipe, re.MULTILINE)
    for name, value in variables.items():
        command = command.replace(f"$({name})", value)
    options = ["--headless", "--actions", "1x3,2,3x3", "--play_root", str(tmp_path), "--device", "cpu"]
    without_data = ["--set", f"data.data_root={tmp_path / 'none'}"]
    arguments = [*command.replace("$(PLAY_ARGS)", "").split(), *options, *without_data]
    assert "starting from the checkpoint" in succeed(*arguments)
    assert len(list(tmp_path.glob(f"{RUN}/*/*/frames/*.png"))) == 8


def test_it_has_the_configuration_that_is_beside_it() -> None:
    written = load_configuration(REPOSITORY / "configs/00_breakout_play.yaml")
    assert stored_configuration(load_checkpoint(CHECKPOINT), CHECKPOINT) == written


def test_it_is_small() -> None:
    assert CHECKPOINT.stat().st_size <= 8e6
    listed = subprocess.run(
        ["git", "check-ignore", CHECKPOINT.relative_to(REPOSITORY)], cwd=REPOSITORY, capture_output=True, check=False
    )
    assert listed.returncode != 0  # 0: it would never be committed

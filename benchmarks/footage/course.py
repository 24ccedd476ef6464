"""The course of a trial: the commands that a user runs, each in a process of its own, and what they find."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from benchmarks.footage.sources import provide
from benchmarks.footage.trials import FOOTAGE, Trial
from utils.checkpoint import LATEST, load_checkpoint
from utils.command import EXIT_DONE, EXIT_INTERRUPTED, EXIT_SKIPPED, UserError, tell
from utils.configuration import load_configuration
from utils.images import save_animation
from utils.shipped import ROOT

GAMES, FRAMES = 8, 200
"""Games that are played side by side after a training, and frames of each."""

FIGURES = (
    "following",
    "following_share",
    "following_random_presses",
    "explained_movement",
    "distinctness",
    "stillness",
    "sharpness",
)
"""Figures of `evaluation.playability` that are kept."""

LARGEST_ANIMATION = 10**6
"""Bytes."""

MIN_HALVED_HEIGHT = 150
"""Pixels of height of an animation from which half as many still show what happens."""

PROPOSAL = re.compile(r"^(?:moves +(.*)| {12}(\d  .*)|played +(.*))$", re.MULTILINE)
"""The lines in which `prepare` says what moves and what is played."""


@dataclass(frozen=True)
class Setting:
    """What all trials share."""

    folder: Path
    """Where footage, data sets, configurations and checkpoints are."""
    minutes: float
    """Time of each training."""
    threads: int
    seed: int

    @property
    def described(self) -> dict[str, float]:
        """What a result depends on."""
        return {"minutes": self.minutes, "threads": self.threads, "seed": self.seed}

    def run_name(self, trial: str) -> str:
        """Return what the data set, the configurations and the run of a trial are called."""
        return f"{trial}_{self.minutes:g}_minutes_{self.seed}"


def run_trial(name: str, trial: Trial, setting: Setting, animation: Path) -> dict[str, Any]:
    """Prepare, train and play the footage of a trial, and return what was found.

    Args:
        name: that of the trial.
        trial: its footage, options and targets.
        setting: what all trials share.
        animation: the GIF to write.

    Raises:
        UserError: something is missing, or a command fails.
    """
    tell(f"{name}: footage")
    footage = provide(trial.footage, FOOTAGE[trial.footage], setting.folder / "footage", setting.seed)
    run_name = setting.run_name(name)
    config = f"configs/{run_name}.yaml"
    labels = ["--labels", str(footage / "labels.csv")] if trial.takes_labels else []
    tell(f"{name}: prepare")
    what = ["--videos", str(footage / "videos"), "--name", run_name, "--minutes", f"{setting.minutes:g}"]
    told = called(
        "dataset.acquisition.prepare",
        [*what, *trial.options, *labels, "--processes", str(setting.threads)],
        setting,
        (EXIT_DONE, EXIT_SKIPPED),
    )
    print(told, end="")
    tell(f"{name}: train")
    trained = _train(config, setting)
    tell(f"{name}: play")
    report = setting.folder / f"{run_name}.json"
    numbers = ["--games", str(GAMES), "--frames", str(FRAMES), "--seed", str(setting.seed)]
    files = ["--animation", str(animation), "--json", str(report)]
    called("evaluation.playability", ["--config", config, *numbers, *files], setting, (EXIT_DONE,))
    shrink(animation)
    figures = kept_figures(json.loads(report.read_text())["results"]["any_footage"])
    return {
        **setting.described,
        "options": list(trial.options),
        "takes_labels": trial.takes_labels,
        "proposed": [next(filter(None, line)) for line in PROPOSAL.findall(told)],
        "play_region": load_configuration(setting.folder / config).data.play_region,
        **trained,
        "figures": figures,
        "targets": dict(trial.targets),
        "reached": {figure: _is_reached(figures[figure]["value"], least) for figure, least in trial.targets.items()},
        "animation": animation.name,
    }


def called(module: str, arguments: Sequence[str], setting: Setting, fine: Sequence[int]) -> str:
    """Run a command of the project to its end, and return what it printed.

    Raises:
        UserError: its exit code is not among the `fine` ones.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=setting.folder,
        env=_environment(setting),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode not in fine:
        raise UserError(f"{module} ended with exit code {done.returncode}; its own message says why")
    return done.stdout


def _train(config: str, setting: Setting) -> dict[str, Any]:
    """Train for the time that there is, and return how far it came.

    Raises:
        UserError: training fails, or does not come to its first checkpoint.
    """
    start = time.perf_counter()
    command = [sys.executable, "-m", "train", "--config", config]
    code = stopped_in_time(command, 60 * setting.minutes, setting.folder, _environment(setting))
    minutes = (time.perf_counter() - start) / 60
    checkpoint = setting.folder / load_configuration(setting.folder / config).logging.save_directory / LATEST
    if code not in (EXIT_DONE, EXIT_INTERRUPTED):
        raise UserError(f"training ended with exit code {code}; its own message says why")
    if not checkpoint.exists():
        raise UserError(f"training came to no step in {setting.minutes:g} minutes; give more with --minutes")
    loaded = load_checkpoint(checkpoint)
    return {
        "steps": int(loaded["step"]),
        "planned_steps": loaded["config"]["training"]["max_steps"],
        "trained_minutes": round(minutes, 2),
    }


def stopped_in_time(command: Sequence[str], seconds: float, folder: Path, environment: dict[str, str]) -> int:
    """Run a command in a folder, interrupt it as Ctrl-C does if time is over, and return its exit code."""
    with subprocess.Popen(command, cwd=folder, env=environment) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            return process.wait()


def _environment(setting: Setting) -> dict[str, str]:
    """The variables of a command that finds the project from another folder."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": str(setting.threads)}


def kept_figures(play: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the figures that are kept: the value of generated play, its interval, and the value of true play."""
    kept = {}
    for name in FIGURES:
        generated, true = play["figures"][name]["generated"], play["figures"][name]["true"]
        kept[name] = {
            "value": generated["value"],
            "interval": generated["interval"],
            "true": None if true is None else true["value"],
        }
    return kept


def _is_reached(value: float | None, least: float) -> bool:
    return value is not None and value >= least


def shrink(animation: Path) -> None:
    """Halve the size of a GIF, and then leave out every second frame, until it is small enough to be kept."""
    with Image.open(animation) as file:
        milliseconds = file.info["duration"]
        frames = np.stack([np.asarray(page.convert("RGB")) for page in ImageSequence.Iterator(file)])
    while animation.stat().st_size > LARGEST_ANIMATION and len(frames) > 1:
        if frames.shape[1] > MIN_HALVED_HEIGHT:
            frames = np.stack([np.asarray(Image.fromarray(frame).reduce(2)) for frame in frames])
        else:
            frames, milliseconds = frames[::2], 2 * milliseconds
        save_animation(animation, frames, milliseconds)

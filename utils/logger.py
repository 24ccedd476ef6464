"""Logging of a run: to `metrics.jsonl` and files of pictures, and to the trackers of its configuration."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from utils.command import tell
from utils.configuration import Configuration
from utils.files import replacing
from utils.images import save_animation, save_image
from utils.trackers import start_trackers

IMAGES = "images"
ANIMATIONS = "animations"
METRICS = "metrics.jsonl"


class RunLogger:
    """Writes configuration, scalars and images of one run to `results/<run_name>` and to its trackers.

    W&B never prompts: without a login or a network the run is offline, and `wandb sync` uploads it later.
    """

    def __init__(self, config: Configuration, step: int = 0) -> None:
        """Open the run's folder, for the steps after `step`; logs of an earlier part are kept and appended to.

        Raises:
            OSError: the folder cannot be written.
        """
        self.directory = config.logging.output_directory
        self.images_directory = self.directory / IMAGES
        self.images_directory.mkdir(parents=True, exist_ok=True)
        self._write_configuration(config)
        self.metrics_file = self.directory / METRICS
        _remove_torn_line(self.metrics_file)
        self._metrics = self.metrics_file.open("a", encoding="utf-8")
        self._trackers = start_trackers(config, step)

    def log_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Append a line `{"step": step, name: value, ...}`; non-finite values become null.

        Raises:
            OSError: the disk is full.
        """
        finite = {name: value if math.isfinite(value) else None for name, value in scalars.items()}
        self._metrics.write(json.dumps({"step": step, **finite}) + "\n")
        self._metrics.flush()
        for tracker in self._trackers:
            tracker.log_scalars(step, scalars)

    def log_image(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Write uint8 pixels (H, W, 3) to `images/<name>_<step>.png`.

        Raises:
            OSError: it cannot be written.
        """
        path = self.images_directory / f"{name}_{step:08d}.png"
        save_image(path, pixels)
        for tracker in self._trackers:
            tracker.log_image(step, name, path)

    def log_animation(self, step: int, name: str, frames: np.ndarray) -> None:
        """Write uint8 frames (T, H, W, 3) to `animations/<name>_<step>.gif`.

        Raises:
            OSError: it cannot be written.
        """
        path = self.directory / ANIMATIONS / f"{name}_{step:08d}.gif"
        save_animation(path, frames)
        for tracker in self._trackers:
            tracker.log_animation(step, name, path)

    def close(self) -> None:
        """End the run."""
        self._metrics.close()
        for tracker in self._trackers:
            tracker.close()

    def _write_configuration(self, config: Configuration) -> None:
        """Write `config.yaml`; an existing one that differs is kept as `config_1.yaml`, `config_2.yaml`, ..."""
        path, text = self.directory / "config.yaml", config.to_yaml()
        if path.exists():
            if path.read_text(encoding="utf-8", errors="replace") == text:
                return
            kept = next(
                candidate
                for number in itertools.count(1)
                if not (candidate := self.directory / f"config_{number}.yaml").exists()
            )
            path.rename(kept)
            tell(f"{path}: not the configuration of the last start, which is kept as {kept.name}")
        with replacing(path) as file:
            file.write(text.encode())


def has_evaluation(metrics_file: Path, step: int) -> bool:
    """Whether a run's `metrics.jsonl` contains the evaluation at `step`."""
    if not metrics_file.exists():
        return False
    lines = metrics_file.read_text(encoding="utf-8").splitlines()
    return any(f'"step": {step},' in line and '"eval/' in line for line in lines)


def read_metrics(metrics_file: Path) -> dict[str, dict[int, float]]:
    """Return the scalars of a run's `metrics.jsonl` by name and step, NaN where they were not finite.

    Of a run that was killed and went on from an earlier checkpoint, the steps after that are those of its new part.
    """
    lines = [json.loads(line) for line in metrics_file.read_text(encoding="utf-8").splitlines()]
    kept: list[dict[str, Any]] = []
    for line in reversed(lines):
        if not kept or line["step"] <= kept[-1]["step"]:
            kept.append(line)
    scalars: dict[str, dict[int, float]] = {}
    for line in reversed(kept):
        step = line.pop("step")
        for name, value in line.items():
            scalars.setdefault(name, {})[step] = math.nan if value is None else float(value)
    return scalars


def _remove_torn_line(path: Path) -> None:
    """Remove an incomplete last line, left by a full disk."""
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)

"""Logging of a run: to `metrics.jsonl`, and to Weights & Biases unless that is turned off."""

import itertools
import json
import math
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.command import one_line, tell
from utils.configuration import Configuration
from utils.files import replacing
from utils.images import save_image

if TYPE_CHECKING:
    import wandb

PROJECT = "playable-video-generation"
IMAGES = "images"
METRICS = "metrics.jsonl"


class RunLogger:
    """Writes configuration, scalars and images of one run to `results/<run_name>` and to W&B.

    W&B never prompts: without a login or a network the run is offline, and `wandb sync` uploads it later.
    """

    def __init__(self, config: Configuration) -> None:
        """Open the run's folder; logs of an earlier part of the run are kept and appended to.

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
        self._wandb = _start_wandb(config, self.directory) if config.logging.wandb else None

    def log_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Append a line `{"step": step, name: value, ...}`; non-finite values become null.

        Raises:
            OSError: the disk is full.
        """
        finite = {name: value if math.isfinite(value) else None for name, value in scalars.items()}
        self._metrics.write(json.dumps({"step": step, **finite}) + "\n")
        self._metrics.flush()
        self._log_to_wandb({**scalars, "step": step})

    def log_image(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Write uint8 pixels (H, W, 3) to `images/<name>_<step>.png`.

        Raises:
            OSError: it cannot be written.
        """
        path = self.images_directory / f"{name}_{step:08d}.png"
        save_image(path, pixels)
        if self._wandb is not None:
            from wandb import Image

            self._log_to_wandb({f"images/{name}": Image(str(path)), "step": step})

    def close(self) -> None:
        """End the run."""
        self._metrics.close()
        if self._wandb is not None:
            self._wandb.finish()

    def _log_to_wandb(self, values: dict[str, Any]) -> None:
        if self._wandb is not None:
            try:
                self._wandb.log(values)
            except Exception as error:  # no failure of W&B may stop training
                tell(f"W&B: {one_line(error)}; going on without")
                self._wandb = None

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


def _start_wandb(config: Configuration, directory: Path) -> "wandb.Run | None":
    """Start a W&B run: in the mode of `WANDB_MODE` or online, else offline; None if both fail."""
    for mode in (os.environ.get("WANDB_MODE", "online"), "offline"):
        try:
            import wandb

            if mode not in ("offline", "dryrun", "disabled") and not wandb.login(prompt=False, verify=False):
                raise wandb.Error("not logged in: `wandb login` does it, logging.wandb: false turns W&B off")
            run = wandb.init(
                project=PROJECT,
                name=config.logging.run_name,
                config=config.model_dump(mode="json"),
                dir=directory,
                id=_wandb_id(directory),
                resume="allow",
                mode=mode,  # type: ignore[arg-type]
                settings=wandb.Settings(silent=True, init_timeout=30),
            )
            run.define_metric("*", step_metric="step")
        except Exception as error:  # no failure of W&B may prevent training
            tell(f"W&B: no {mode} run ({one_line(error)})")
            _release_wandb()
        else:
            tell(f"W&B: {mode} run {run.name} in {directory}")
            return run
    return None


def _release_wandb() -> None:
    """End W&B's service, which keeps the identity of a run that failed to start, so that another can have it."""
    with suppress(Exception):  # of any kind: it is no reason not to train
        import wandb

        wandb.teardown()


def _wandb_id(directory: Path) -> str:
    """W&B id of the run, kept when an interrupted run is resumed."""
    path = directory / "wandb_id"
    if not path.exists():
        path.write_text(secrets.token_hex(4), encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()

"""Where a run reports: always to `metrics.jsonl`, and to Weights & Biases unless that is turned off."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import wandb
from tqdm import tqdm

from utils.configuration import Configuration
from utils.images import save_image

PROJECT = "playable-video-generation"


class RunLogger:
    """Writes scalars and images of one run under `results/<run_name>` and to W&B.

    W&B never asks for anything: without a login, or without a network, the run is an offline one that `wandb sync`
    uploads later.
    """

    def __init__(self, config: Configuration) -> None:
        """Open the run's folder; scalars are appended to what an earlier part of the run left there.

        Raises:
            OSError: the folder cannot be written.
        """
        self.directory = config.logging.output_directory
        self.images_directory = self.directory / "images"
        self.images_directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
        self.metrics_file = self.directory / "metrics.jsonl"
        self._metrics = self.metrics_file.open("a", encoding="utf-8")
        self._wandb = _start_wandb(config, self.directory) if config.logging.wandb else None

    def log_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Append one line `{"step": step, name: value, ...}`; non-finite values become null."""
        finite = {name: value if np.isfinite(value) else None for name, value in scalars.items()}
        self._metrics.write(json.dumps({"step": step, **finite}) + "\n")
        self._metrics.flush()
        if self._wandb is not None:
            self._wandb.log({**scalars, "step": step})

    def log_image(self, step: int, name: str, pixels: np.ndarray) -> Path:
        """Write uint8 pixels (H, W, 3) to `images/<name>_<step>.png`."""
        path = self.images_directory / f"{name}_{step:08d}.png"
        save_image(path, pixels)
        if self._wandb is not None:
            self._wandb.log({f"images/{name}": wandb.Image(str(path)), "step": step})
        return path

    def tell(self, message: str) -> None:
        """Print a line without breaking a progress bar."""
        tqdm.write(message)

    def close(self) -> None:
        """End the run."""
        self._metrics.close()
        if self._wandb is not None:
            self._wandb.finish()


def _start_wandb(config: Configuration, directory: Path) -> Any:
    """A W&B run, or None where even an offline one cannot be started."""
    settings = wandb.Settings(silent=True, init_timeout=30)
    try:
        mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False, verify=False) else "offline")
        run = wandb.init(
            project=PROJECT,
            name=config.logging.run_name,
            config=config.model_dump(mode="json"),
            dir=directory,
            mode=mode,  # type: ignore[arg-type]
            settings=settings,
        )
    except (wandb.Error, OSError) as error:
        tqdm.write(f"W&B is not available ({error}); scalars still go to {directory / 'metrics.jsonl'}")
        return None
    if mode == "offline":
        tqdm.write("W&B: offline run (log in with `wandb login` to watch runs, `logging.wandb: false` turns it off)")
    return run

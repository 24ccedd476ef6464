"""Trackers of experiments, to which a run reports beside its own files: Weights & Biases and TensorBoard."""

import importlib.util
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from utils.command import one_line, tell
from utils.configuration import Configuration
from utils.extras import missing_package

if TYPE_CHECKING:
    import wandb

PROJECT = "playable-video-generation"


class Tracker(Protocol):
    """What a run reports to; files of pictures exist already."""

    def log_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Report scalars of a step."""

    def log_image(self, step: int, name: str, path: Path) -> None:
        """Report a PNG file."""

    def log_animation(self, step: int, name: str, path: Path) -> None:
        """Report a GIF file."""

    def close(self) -> None:
        """End the report."""


def require_trackers(config: Configuration) -> None:
    """Check that the trackers of `logging.trackers` can be had; W&B does without itself.

    Raises:
        UserError: TensorBoard is not installed.
    """
    if "tensorboard" in config.logging.trackers and importlib.util.find_spec("tensorboard") is None:
        raise missing_package("logging.trackers: [tensorboard]", "tensorboard", "tensorboard")


def start_trackers(config: Configuration, step: int) -> Sequence[Tracker]:
    """Start the trackers of `logging.trackers`, in the run's folder, for the steps after `step`."""
    directory, names = config.logging.output_directory, config.logging.trackers
    trackers: list[Tracker] = []
    if "wandb" in names and (run := _start_wandb(config, directory)) is not None:
        trackers.append(_Wandb(run))
    if "tensorboard" in names:
        trackers.append(_TensorBoard(directory / "tensorboard", step))
    return trackers


class _TensorBoard:
    """Event files in a folder. Steps after that which a run goes on from, logged before it was killed, are hidden."""

    def __init__(self, directory: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(directory), purge_step=step + 1)
        tell(f"TensorBoard: tensorboard --logdir {directory}")

    def log_scalars(self, step: int, scalars: dict[str, float]) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def log_image(self, step: int, name: str, path: Path) -> None:
        self._log_file(step, f"images/{name}", path)

    def log_animation(self, step: int, name: str, path: Path) -> None:
        self._log_file(step, f"animations/{name}", path)

    def close(self) -> None:
        self._writer.close()

    def _log_file(self, step: int, name: str, path: Path) -> None:
        """Add a file as it is, which `add_image` and `add_video` would encode anew."""
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        with Image.open(path) as picture:
            width, height = picture.size
        encoded = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
        file_writer: Any = self._writer.file_writer
        file_writer.add_summary(Summary(value=[Summary.Value(tag=name, image=encoded)]), step)


class _Wandb:
    """A run in W&B; it is given up when it fails."""

    def __init__(self, run: "wandb.Run") -> None:
        self._run = run
        self._fails = False

    def log_scalars(self, step: int, scalars: dict[str, float]) -> None:
        self._log({**scalars, "step": step})

    def log_image(self, step: int, name: str, path: Path) -> None:
        from wandb import Image

        self._log({f"images/{name}": Image(str(path)), "step": step})

    def log_animation(self, step: int, name: str, path: Path) -> None:
        from wandb import Video

        self._log({f"animations/{name}": Video(str(path), format="gif"), "step": step})

    def close(self) -> None:
        if not self._fails:
            self._run.finish()

    def _log(self, values: dict[str, Any]) -> None:
        if not self._fails:
            try:
                self._run.log(values)
            except Exception as error:  # no failure of W&B may stop training
                tell(f"W&B: {one_line(error)}; going on without")
                self._fails = True


def _start_wandb(config: Configuration, directory: Path) -> "wandb.Run | None":
    """Start a W&B run: in the mode of `WANDB_MODE` or online, else offline; None if both fail."""
    for mode in (os.environ.get("WANDB_MODE", "online"), "offline"):
        try:
            import wandb

            if mode not in ("offline", "dryrun", "disabled") and not wandb.login(prompt=False, verify=False):
                raise wandb.Error("not logged in: `wandb login` does it, logging.trackers without wandb does without")
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

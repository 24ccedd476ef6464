"""Stage: `02_breakout` is trained on recorded frames in what is left of the time, and can be continued.

`long_training.tar` gets the newest checkpoint, the log and the newest pictures. The checkpoint is without Adam's
moments, to be a third as large: these begin anew when the training is continued.
"""

import io
import json
import os
import signal
import tarfile
import tempfile
import threading
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.setting import Results, Setting
from model.perceptual import VGG19
from training.run import train
from utils.checkpoint import LATEST, load_checkpoint
from utils.configuration import Configuration
from utils.files import replacing
from utils.logger import IMAGES, METRICS

ARCHIVE = "long_training.tar"
MOST_BYTES = 15 * 2**20
"""Size that the archive does not exceed by its pictures."""

SECONDS_TO_SAVE = 15.0
WITHOUT_VGG19 = (
    "training.loss_weights.perceptual_loss_lambda=0",
    "training.loss_weights.perceptual_loss_lambda_pretraining=0",
)


def measure(setting: Setting) -> Results:
    """Train until the time is over but for saving; results are the step and the last figures of the log."""
    has_vgg19 = VGG19.path.exists()
    yield "perceptual_loss", has_vgg19 and not setting.rehearses
    with tempfile.TemporaryDirectory() as folder:
        config: Configuration = setting.configuration(
            "02_breakout",
            *setting.overrides_of_data(Path(folder)),
            "data.cache=memory",
            "training.batching.num_workers=0",
            "evaluation.batching.num_workers=0",
            "evaluation.max_evaluation_batches=2",
            f"evaluation.eval_freq={1 if setting.rehearses else 500}",
            *(() if has_vgg19 else WITHOUT_VGG19),
            *(("training.max_steps=2", "logging.log_freq=1") if setting.rehearses else ()),
        )
        if setting.resumed:
            _unpack(Path(setting.resumed), config)
        if not setting.rehearses:
            _stop_after(setting.seconds_left - SECONDS_TO_SAVE)
        train(config, setting.device)
        step = _pack(config, Path(setting.output) / ARCHIVE)
        yield "step", step
        yield "figures", _last_figures(config.logging.output_directory / METRICS)


def _stop_after(seconds: float) -> None:
    """Ask training, after some seconds, to save and to end."""
    timer = threading.Timer(max(0.0, seconds), os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()


def _pack(config: Configuration, archive: Path) -> int:
    """Write the archive of a run, and return its step."""
    checkpoint = load_checkpoint(config.logging.save_directory / LATEST)
    checkpoint["optimizer"]["state"] = {}
    contents = io.BytesIO()
    torch.save(checkpoint, contents)
    log = (config.logging.output_directory / METRICS).read_bytes()
    files = {f"checkpoints/{LATEST}": contents.getvalue(), METRICS: log}
    size = sum(map(len, files.values()))
    pictures = sorted((config.logging.output_directory / IMAGES).glob("*"), key=lambda path: -path.stat().st_mtime)
    for path in pictures:
        size += path.stat().st_size
        if size > MOST_BYTES:
            break
        files[f"{IMAGES}/{path.name}"] = path.read_bytes()
    with replacing(archive) as file, tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return int(checkpoint["step"])


def _unpack(archive: Path, config: Configuration) -> None:
    """Put the checkpoint and the log of an archive where training looks for them."""
    output, save = config.logging.output_directory, config.logging.save_directory
    with tarfile.open(archive) as tar:
        for name, path in ((f"checkpoints/{LATEST}", save / LATEST), (METRICS, output / METRICS)):
            member = tar.extractfile(name)
            assert member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(member.read())


def _last_figures(log: Path) -> dict[str, Any]:
    """The newest value of each figure in a log."""
    figures: dict[str, Any] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        figures |= json.loads(line)
    return figures

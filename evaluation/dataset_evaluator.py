"""Evaluation of generated sequences against their true ones (docs/method.md#evaluation).

One pass over both data sets feeds all metrics: each frame is decoded once and goes through each network once. Only a
few numbers are kept of each frame.

Dimensions: B sequences in a batch, T frames of each, H x W pixels, K actions.
"""

import datetime
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from tqdm import tqdm

from dataset.video import Video
from evaluation.all_metrics import METRICS
from evaluation.configuration import EvaluationConfiguration
from evaluation.dataset_builder import ACTIONS
from evaluation.metric import Needs, PairBatch
from evaluation.report import write_report
from evaluation.results import HEADLINES, Evidence, Results, entry, write_results
from evaluation.sequence_pairs import Pairs, SequencePairs
from utils.command import UserError, tell
from utils.device import explaining_lack_of_memory, select_device
from utils.files import only_process, require_writable

DATA_FILE = "data.yml"


def evaluate_dataset(config: EvaluationConfiguration, device_name: str, *, require_all: bool = False) -> Results:
    """Measure a generated data set, and write `data.yml`, `report.html` and `plots/`.

    Args:
        config: the evaluation's configuration.
        device_name: `auto`, `cpu`, `cuda` or `mps`.
        require_all: raise an error if a metric that the configuration asks for cannot be computed.

    Raises:
        UserError: something is missing, damaged or invalid.
    """
    device = select_device(device_name)
    folder = config.logging.output_directory
    require_writable(folder, "choose another logging.output_root")
    pairs = SequencePairs(config)
    measurements = Measurements(config, pairs, device)
    for reason in dict.fromkeys(measurements.unavailable.values()):
        names = ", ".join(name for name, cause in measurements.unavailable.items() if cause == reason)
        if require_all:
            raise UserError(f"{names} cannot be computed: {reason}")
        tell(f"warning: {names} cannot be computed: {reason}")
    progress = tqdm(total=len(pairs), desc="measuring", unit=" sequences", disable=None)
    with progress, explaining_lack_of_memory(device):
        for batch in pairs:
            measurements.add(batch)
            progress.update(len(batch.names))
    results = measurements.results()
    results.samples["sequences"] = len(pairs)
    results.provenance = _provenance(config, pairs, device)
    evidence = measurements.evidence(Path(config.generated_data.data_root) / ACTIONS)
    evidence = replace(evidence, action_names=config.data.action_names)
    with only_process(folder, "logging.run_name"):
        write_report(folder, results, evidence)
        write_results(folder / DATA_FILE, results)
    return results


class Measurements:
    """All metrics, fed batch by batch."""

    def __init__(self, config: EvaluationConfiguration, pairs: SequencePairs, device: torch.device) -> None:
        """Load what the metrics need; metrics for which something is missing are left out.

        Args:
            config: the evaluation's configuration.
            pairs: the sequences to measure.
            device: the device of networks and metrics.
        """
        self._needs = Needs(config, pairs, device)
        self._metrics = [metric for make in METRICS if (metric := make(self._needs))]

    @property
    def unavailable(self) -> dict[str, str]:
        """Why a metric that was requested is absent, by metric-name prefix."""
        return self._needs.unavailable

    @torch.inference_mode()
    def add(self, pairs: Pairs) -> None:
        """Measure a batch.

        Raises:
            UserError: a metric or a network gives values that are not finite.
        """
        batch = PairBatch.of(pairs, self._needs.device)
        for metric in self._metrics:
            metric.add(batch)

    def results(self) -> Results:
        """Return all numbers, and the reasons why others are missing."""
        results = Results()
        for metric in self._metrics:
            results.include(metric.results())
        missing = self._needs.unavailable | self._needs.left_out
        results.reasons |= missing
        results.values |= {headline.name: None for headline in HEADLINES if entry(missing, headline.name)}
        return results

    def evidence(self, demonstrations: Path) -> Evidence:
        """Return what the report shows beside the numbers.

        Args:
            demonstrations: the folder with videos of each action, if there is one.
        """
        found = {name: value for metric in self._metrics for name, value in metric.evidence().items()}
        found["demonstrations"] = {
            action: read_demonstrations(folder)
            for action in range(self._needs.actions_count)
            if (folder := demonstrations / str(action + 1)).is_dir()
        }
        return Evidence(**found)


def read_demonstrations(folder: Path) -> np.ndarray:
    """Read the videos in a folder, which are of equal length: uint8 (videos, T, H, W, 3).

    Raises:
        UserError: a video cannot be read.
    """
    videos = [Video(path) for path in sorted(folder.iterdir())]
    return np.array([[np.asarray(video.frame(index)) for index in range(len(video))] for video in videos])


def _provenance(config: EvaluationConfiguration, pairs: SequencePairs, device: torch.device) -> dict[str, Any]:
    provenance = {
        "run_name": config.logging.run_name,
        "comments": config.logging.comments,
        "date": datetime.date.today().isoformat(),
        "device": str(device),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "torchvision": str(torchvision.__version__),
        },
        "configuration": config.model_dump(mode="json"),
    }
    if pairs.build:
        provenance |= {
            "checkpoint_sha256": pairs.build.checkpoint_sha256,
            "training_configuration": pairs.build.configuration,
        }
    return provenance

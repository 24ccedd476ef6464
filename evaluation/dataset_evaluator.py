"""Measuring generated sequences against the true ones that they were generated from (docs/method.md#evaluation).

One pass over both data sets feeds all metrics: each frame is decoded once, and goes through each network once. Of a
frame only some numbers are kept.

Dimensions: B sequences in a batch, T frames of each, H x W pixels, K actions.
"""

import datetime
import platform
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torchvision
from torch import nn
from tqdm import tqdm

from dataset.video import Video
from evaluation import networks
from evaluation.action_comparison import ActionComparison
from evaluation.configuration import EvaluationConfiguration
from evaluation.dataset_builder import ACTIONS
from evaluation.frame_comparison import FrameComparison, FrameMetric
from evaluation.metrics.feature_distances import lpips, vgg_similarity
from evaluation.metrics.frame_errors import motion_masked_mse, mse, psnr
from evaluation.metrics.structural_similarity import ssim
from evaluation.movement.tracker import Tracker
from evaluation.movement.trackers import select_tracker
from evaluation.report import write_report
from evaluation.results import HEADLINES, Evidence, Results, SequencePair, write_results
from evaluation.sequence_pairs import Pairs, SequencePairs
from evaluation.set_comparison import SetComparison
from utils.command import UserError, tell
from utils.device import explaining_lack_of_memory, select_device
from utils.files import only_process, require_writable

DATA_FILE = "data.yml"

NUM_TYPICAL_FRAMES = 200
"""True frames by which a tracker learns what stands where."""

NUM_SHOWN_PAIRS = 3
"""How many of the best and of the worst sequences the report shows."""

Network = TypeVar("Network", bound=nn.Module)


def evaluate_dataset(config: EvaluationConfiguration, device_name: str, *, require_all: bool = False) -> Results:
    """Measure a generated data set; write `data.yml`, `report.html` and `plots/`.

    Args:
        config: the evaluation's configuration.
        device_name: `auto`, `cpu`, `cuda` or `mps`.
        require_all: refuse to begin if something that the configuration asks for cannot be computed.

    Raises:
        UserError: something is missing, damaged or impossible.
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
    with only_process(folder, "logging.run_name"):
        write_report(folder, results, evidence)
        write_results(folder / DATA_FILE, results)
    return results


class Measurements:
    """What is gathered batch by batch."""

    def __init__(self, config: EvaluationConfiguration, pairs: SequencePairs, device: torch.device) -> None:
        """Load what is needed; what is not to be had is left out.

        Args:
            config: the evaluation's configuration.
            pairs: what will be measured.
            device: where networks and metrics compute.
        """
        self._device = device
        self.unavailable: dict[str, str] = {}
        """Why something that the configuration asks for is left out, by the beginning of its metrics' names."""
        self._omitted: dict[str, str] = {}
        """The same of what it does not ask for."""
        length = config.evaluation.batching.observations_count
        self._frames = FrameComparison(self._frame_metrics(), len(pairs), length)
        inception = self._load(("fid", "kid", "inception_score"), networks.load_inception)
        i3d = None
        if length >= networks.LEAST_I3D_FRAMES:
            i3d = self._load(("fvd",), networks.load_i3d)
        else:
            self._omitted["fvd"] = f"it takes sequences of {networks.LEAST_I3D_FRAMES} frames at least"
        self._sets = SetComparison(inception, i3d)
        self._actions = ActionComparison(
            config.data.actions_count, self._tracker(config, pairs), knows_actions=pairs.knows_actions
        )
        if not config.data.ground_truth_available:
            self._omitted["actions"] = "data.ground_truth_available is false"
        elif not pairs.knows_actions:
            self.unavailable["actions"] = f"not all videos in {config.reference_data.data_root} have true actions"
        self._extremes = Extremes()

    @torch.inference_mode()
    def add(self, batch: Pairs) -> None:
        """Measure a batch. `UserError` if a metric or a network gives values that are not finite."""
        reference, generated = (
            torch.from_numpy(frames).to(self._device).movedim(-1, 2).float() / 255
            for frames in (batch.reference, batch.generated)
        )
        errors = self._frames.add(reference, generated)
        for name, values in errors.items():
            if not np.isfinite(values).all():
                sequence = batch.names[int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])]
                raise UserError(f"{name} of the sequence '{sequence}' is not finite; mend its frames, or leave it out")
        self._sets.add(reference, generated)
        self._actions.add(batch)
        self._extremes.add(batch, errors["mse"].mean(axis=1))

    def results(self) -> Results:
        """All numbers, and why others are missing."""
        results = Results()
        for part in (self._frames, self._sets, self._actions):
            results.include(part.results())
        missing = self.unavailable | self._omitted
        results.reasons |= missing
        for metric in HEADLINES:
            if metric.name.split("/")[0] in missing:
                results.values[metric.name] = None
        return results

    def evidence(self, demonstrations: Path) -> Evidence:
        """What the report shows beside the numbers; `demonstrations` holds videos of what actions do, if any."""
        actions = self._actions
        movements, movement_actions, _ = actions.movements() if actions.tracker else (None, None, None)
        return Evidence(
            actions_count=actions.actions_count,
            action_usage=actions.usage,
            movements=movements,
            movement_actions=movement_actions,
            movement_unit=actions.tracker.unit if actions.tracker else "",
            confusion=actions.confusion if actions.knows_actions else None,
            true_actions=actions.true_actions if actions.knows_actions else [],
            best=self._extremes.best,
            worst=self._extremes.worst,
            demonstrations={
                action: read_demonstrations(folder)
                for action in range(actions.actions_count)
                if (folder := demonstrations / str(action + 1)).is_dir()
            },
        )

    def _frame_metrics(self) -> dict[str, FrameMetric]:
        metrics: dict[str, FrameMetric] = {
            "mse": mse,
            "motion_masked_mse": motion_masked_mse,
            "psnr": psnr,
            "ssim": ssim,
        }
        if similarity := self._load(("vgg_cosine_similarity",), networks.load_similarity_network):
            metrics["vgg_cosine_similarity"] = partial(vgg_similarity, similarity)
        if distance := self._load(("lpips",), networks.load_lpips_network):
            metrics["lpips"] = partial(lpips, distance)
        return metrics

    def _tracker(self, config: EvaluationConfiguration, pairs: SequencePairs) -> Tracker | None:
        name = config.evaluation.movement_name
        try:
            tracker = select_tracker(name, pairs.typical_frames(NUM_TYPICAL_FRAMES), self._device)
        except UserError as error:
            self.unavailable |= dict.fromkeys(MOVEMENT_METRICS, str(error))
            return None
        if tracker is None:
            self._omitted |= dict.fromkeys(MOVEMENT_METRICS, "evaluation.movement is none")
        elif not tracker.sees_frames:
            self._omitted["detection"] = f"'{name}' reads positions from annotations, which generated frames lack"
        return tracker

    def _load(self, metrics: Sequence[str], load: Callable[[], Network]) -> Network | None:
        try:
            return load().to(self._device)
        except UserError as error:
            self.unavailable |= dict.fromkeys(metrics, str(error))
            return None


MOVEMENT_METRICS = ("detection", "action_variance", "linear")
"""The beginnings of the names of metrics that need movement."""


class Extremes:
    """The sequences with the lowest and the highest error so far."""

    def __init__(self) -> None:
        self.best: list[SequencePair] = []
        self.worst: list[SequencePair] = []

    def add(self, batch: Pairs, errors: np.ndarray) -> None:
        """Take in a batch with the mean squared errors (B,) of its sequences."""
        pairs = [
            SequencePair(*entry)
            for entry in zip(batch.names, errors.tolist(), batch.reference, batch.generated, strict=True)
        ]
        self.best = sorted(self.best + pairs, key=lambda pair: pair.mse)[:NUM_SHOWN_PAIRS]
        self.worst = sorted(self.worst + pairs, key=lambda pair: -pair.mse)[:NUM_SHOWN_PAIRS]


def read_demonstrations(folder: Path) -> np.ndarray:
    """The videos in a folder, of equal length: uint8 (videos, T, H, W, 3). `UserError` if one cannot be read."""
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

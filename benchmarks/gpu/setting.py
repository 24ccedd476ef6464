"""What every stage is told: its device, its time, its folders; and the miniature of the data that rehearsals use."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]

CONFIGURATIONS = ("00_breakout_demo", "01_bair", "02_breakout", "03_tennis")
PUBLISHED = CONFIGURATIONS[1:]

MINIATURE_SIDE = 32
MINIATURE = (
    "model.width_multiplier=0.125",
    f"model.representation_network.target_input_size=[{MINIATURE_SIDE}, {MINIATURE_SIDE}]",
    f"model.representation_network.state_resolution=[{MINIATURE_SIDE // 8}, {MINIATURE_SIDE // 8}]",
    "model.representation_network.state_features=8",
    "model.dynamics_network.hidden_state_size=8",
    "training.batching.batch_size=2",
    "training.batching.observations_count=3",
    "training.batching.observations_count_start=3",
    "training.batching.num_workers=0",
    "training.ground_truth_observations_start=2",
    "training.ground_truth_observations_end=2",
    "training.loss_weights.perceptual_loss_lambda=0",
    "training.loss_weights.perceptual_loss_lambda_pretraining=0",
    "evaluation.batching.batch_size=1",
    "evaluation.batching.observations_count=6",
    "evaluation.batching.num_workers=0",
    "evaluation.max_evaluation_batches=1",
)
"""Overrides with which a step of any configuration takes milliseconds on a CPU."""

Results = Iterator[tuple[str, Any]]
"""Names and values of results, each as soon as it is known."""


@dataclass(frozen=True)
class Setting:
    """The setting of a stage."""

    device: str
    rehearses: bool
    ends_at: float
    """Seconds of `time.time` at which the stage is ended."""
    output: str
    """Folder of the results."""
    data: str
    """Folder of recorded Breakout of 160x208, in videos or shards; it may be absent."""
    resumed: str | None
    """File in which an earlier run left its training."""

    @classmethod
    def parse(cls, text: str) -> "Setting":
        """Return the setting that `str` made the text of."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    @property
    def seconds_left(self) -> float:
        """Seconds until the stage is ended, at least 0."""
        return max(0.0, self.ends_at - time.time())

    def end_in_time(self) -> None:
        """End this process, as nothing can prevent, when the time of the stage is over."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, self.seconds_left + 1e-3)

    def configuration(self, name: str, *overrides: str) -> Any:
        """Load one of the repository's configurations, in miniature in a rehearsal."""
        from utils.configuration import load_configuration

        miniature = MINIATURE if self.rehearses else ()
        return load_configuration(REPOSITORY / f"configs/{name}.yaml", [*miniature, *overrides])

    def overrides_of_data(self, folder: Path) -> tuple[str, ...]:
        """Return the overrides with which a run reads the recorded frames and writes into a folder.

        A rehearsal reads frames of noise, which it writes there.
        """
        root, width, height = self.data, 160, 208
        if self.rehearses:
            root, width, height = str(folder / "data"), MINIATURE_SIDE, MINIATURE_SIDE
            _write_noise(Path(root))
        return (
            f"data.data_root={root}",
            f"data.crop=[0, 0, {width}, {height}]",
            f"logging.output_root={folder / 'results'}",
            f"logging.save_root={folder / 'checkpoints'}",
            "logging.trackers=[]",
        )


def attempt(function: Callable[[], Any]) -> Any:
    """Return what a function returns, or `{"failed": reason}`; one figure that fails does not cost the others."""
    import torch

    from utils.command import one_line

    try:
        return function()
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error)}"[:500]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return {"failed": reason}


def _write_noise(root: Path) -> None:
    import numpy as np

    from dataset.video import write_video

    random = np.random.default_rng(0)
    for split in ("train", "val"):
        frames = random.integers(0, 256, (10, MINIATURE_SIDE, MINIATURE_SIDE, 3), np.uint8)
        write_video(root / split / "00000", frames)

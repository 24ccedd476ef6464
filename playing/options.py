"""The options of `play.py`.

Importing it does not import torch.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PlayOptions:
    """The options of `play.py`, explained by its `--help`."""

    checkpoint: Path | None = None
    device: str = "auto"
    windowed: bool = False
    real_time: bool | None = None
    fps: float | None = None
    idle_action: int | None = None
    initial_frame: str | None = None
    seed: int = 0
    noise: bool = False
    actions: str | None = None
    replay: Path | None = None
    no_recording: bool = False
    play_root: Path = Path("play_results")

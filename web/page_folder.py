"""The files of an exported page: the page itself, `game.json`, the model, pictures, and the runtime.

`game.json` holds what the page needs to know: sizes, names and files.

Dimensions: S stacked frames in an observation, H x W pixels.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.configuration import Configuration
from utils.images import save_image
from web.content_policy import with_policy
from web.onnx_simulator import OnnxSimulator
from web.onnx_step import ExportedStep
from web.runtime import RUNTIME_FOLDER, runtime_description

FORMAT_VERSION = 1
"""Version of the format of `game.json`."""

PAGE = Path(__file__).parent / "page"
INDEX, GAME = "index.html", "game.json"

GENERATOR = '<meta name="generator" content="playable-video export">'
"""The element by which an exported page is recognised."""


@dataclass(frozen=True)
class ExportedGame:
    """The game of a page."""

    config: Configuration
    step: ExportedStep
    starts: list[np.ndarray]
    """Starting frames, uint8 (H, W, 3)."""
    actions: list[str]
    """Names of the actions."""
    frame_rate: float
    """Frames a second in real time."""

    def first_frame(self) -> np.ndarray:
        """Return the frame after the first action from the first starting frame, uint8 (H, W, 3)."""
        stacking = self.config.evaluation.batching.observation_stacking
        simulator = OnnxSimulator(self.step)
        start = simulator.start(np.stack([self.starts[0]] * stacking)[np.newaxis])
        return simulator.step(start, np.array([0])).frames[0]


def write_page(directory: Path, game: ExportedGame, runtime: Path | None) -> None:
    """Write a page to a new folder.

    Args:
        directory: the folder.
        game: the game of the page.
        runtime: a folder with the files of the runtime, which are copied; if None, the page links to them.
    """
    shutil.copytree(PAGE, directory)
    index = directory / INDEX
    description = _description(game, runtime)
    files = ["'self'"] if runtime else ["'self'", description["runtime"]["base"]]
    html = index.read_text("utf-8").replace("<head>", f"<head>\n{GENERATOR}", 1)
    index.write_text(with_policy(html, "'self'", files), "utf-8")
    (directory / description["model"]["file"]).write_bytes(game.step.model.SerializeToString())
    states = [state.astype("<f4").tobytes() for state in game.step.initial_state.values()]
    (directory / description["initial_state"]["file"]).write_bytes(b"".join(states))
    for name, frame in zip(description["starts"], game.starts, strict=True):
        save_image(directory / name, frame)
    save_image(directory / description["first_frame"], game.first_frame())
    (directory / GAME).write_text(json.dumps(description, indent=1), "utf-8")
    if runtime:
        (directory / RUNTIME_FOLDER).mkdir()
        for name in description["runtime"]["files"]:
            shutil.copyfile(runtime / name, directory / RUNTIME_FOLDER / name)


def _description(game: ExportedGame, runtime: Path | None) -> dict[str, Any]:
    """Return the contents of `game.json`."""
    height, width, _ = game.starts[0].shape
    states = game.step.initial_state
    return {
        "format_version": FORMAT_VERSION,
        "name": game.config.logging.run_name,
        "width": width,
        "height": height,
        "frame_rate": game.frame_rate,
        "observation_stacking": game.config.evaluation.batching.observation_stacking,
        "variation_dimension": game.config.model.action_network.action_space_dimension,
        "uses_variations": game.step.uses_variations,
        "counts_steps": game.step.counts_steps,
        "actions": game.actions,
        "model": {"file": "model.onnx", "bytes": game.step.model.ByteSize()},
        "initial_state": {"file": "initial_state.bin", "bytes": sum(state.nbytes for state in states.values())},
        "states": [{"name": name, "shape": list(state.shape)} for name, state in states.items()],
        "starts": [f"starts/{number:02d}.png" for number in range(len(game.starts))],
        "first_frame": "first_frame.png",
        "runtime": runtime_description("local" if runtime else "cdn"),
    }

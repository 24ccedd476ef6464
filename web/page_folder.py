"""The files of an exported page: the page itself, `game.json`, the model, pictures, and the runtime.

`game.json` holds what the page needs to know: sizes, names and files. In a page of several games it lists them, and
each has a folder with its own in `games`.

Dimensions: S stacked frames in an observation, H x W pixels.
"""

import itertools
import json
import shutil
from collections.abc import Sequence
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
GAMES = "games"
"""The folder of several games."""

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


def write_page(directory: Path, games: Sequence[ExportedGame], runtime: Path | None) -> None:
    """Write a page to a new folder.

    Args:
        directory: the folder.
        games: the games of the page, at least one.
        runtime: a folder with the files of the runtime, which are copied; if None, the page links to them.
    """
    shutil.copytree(PAGE, directory)
    about_runtime = runtime_description("local" if runtime else "cdn")
    _write_index(directory / INDEX, ["'self'"] if runtime else ["'self'", about_runtime["base"]])
    if len(games) == 1:
        _write_game(directory, games[0], games[0].config.logging.run_name, "", about_runtime)
    else:
        listed = [
            _listed(_write_game(directory, game, name, f"{GAMES}/{name}/", about_runtime), f"{GAMES}/{name}/{GAME}")
            for name, game in _named(games).items()
        ]
        _write_json(directory / GAME, {"format_version": FORMAT_VERSION, "games": listed, "runtime": about_runtime})
    if runtime:
        (directory / RUNTIME_FOLDER).mkdir()
        for name in about_runtime["files"]:
            shutil.copyfile(runtime / name, directory / RUNTIME_FOLDER / name)


def _write_index(index: Path, files: list[str]) -> None:
    """Have the page say what made it, and that it fetches nothing but its own files and `files`."""
    html = index.read_text("utf-8").replace("<head>", f"<head>\n{GENERATOR}", 1)
    index.write_text(with_policy(html, "'self'", files), "utf-8")


def _named(games: Sequence[ExportedGame]) -> dict[str, ExportedGame]:
    """Return games by names that differ, also without regard to case: a second one of a run gets a number."""
    named: dict[str, ExportedGame] = {}
    for game in games:
        run_name = game.config.logging.run_name
        numbered = (f"{run_name}-{number}" for number in itertools.count(2))
        taken = {name.casefold() for name in named}
        name = next(name for name in itertools.chain([run_name], numbered) if name.casefold() not in taken)
        named[name] = game
    return named


def _write_game(
    directory: Path, game: ExportedGame, name: str, folder: str, about_runtime: dict[str, Any]
) -> dict[str, Any]:
    """Write the files of a game into a folder of a page, such as "games/breakout/", and return its description."""
    description = _description(game, name, folder, about_runtime)
    (directory / folder).mkdir(parents=True, exist_ok=True)
    (directory / description["model"]["file"]).write_bytes(game.step.model.SerializeToString())
    states = [state.astype("<f4").tobytes() for state in game.step.initial_state.values()]
    (directory / description["initial_state"]["file"]).write_bytes(b"".join(states))
    for start, frame in zip(description["starts"], game.starts, strict=True):
        save_image(directory / start, frame)
    save_image(directory / description["first_frame"], game.first_frame())
    _write_json(directory / folder / GAME, description)
    return description


def _description(game: ExportedGame, name: str, folder: str, about_runtime: dict[str, Any]) -> dict[str, Any]:
    """Return the contents of a game's `game.json`; its files are named as the page finds them."""
    height, width, _ = game.starts[0].shape
    states = game.step.initial_state
    num_bytes = sum(state.nbytes for state in states.values())
    return {
        "format_version": FORMAT_VERSION,
        "name": name,
        "width": width,
        "height": height,
        "frame_rate": game.frame_rate,
        "observation_stacking": game.config.evaluation.batching.observation_stacking,
        "variation_dimension": game.config.model.action_network.action_space_dimension,
        "uses_variations": game.step.uses_variations,
        "counts_steps": game.step.counts_steps,
        "actions": game.actions,
        "model": {"file": f"{folder}model.onnx", "bytes": game.step.model.ByteSize()},
        "initial_state": {"file": f"{folder}initial_state.bin", "bytes": num_bytes},
        "states": [{"name": name, "shape": list(state.shape)} for name, state in states.items()],
        "starts": [f"{folder}starts/{number:02d}.png" for number in range(len(game.starts))],
        "first_frame": f"{folder}first_frame.png",
        "runtime": about_runtime,
    }


def _listed(description: dict[str, Any], file: str) -> dict[str, Any]:
    """Return what the list of games says of a game whose description is in `file`."""
    return {
        "name": description["name"],
        "file": file,
        "bytes": description["model"]["bytes"] + description["initial_state"]["bytes"],
        "actions": description["actions"],
        "thumbnail": description["starts"][0],
    }


def _write_json(path: Path, contents: dict[str, Any]) -> None:
    path.write_text(json.dumps(contents, indent=1), "utf-8")

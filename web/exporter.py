"""A trained model as a page that anyone can play: everything found and checked before anything is written.

A page goes into a new or empty folder, or into one that an earlier export made, which its `index.html` tells: there the
files of the same names are replaced and all others stay. It is put together in a folder beside it and moved in when it
is whole.

Dimensions: N starting frames, S stacked frames in an observation, K actions, H x W pixels.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from dataset.starting_frames import StartingFrames, choose_starting_frames
from playing.simulator import Simulator, load_simulator
from utils.command import UserError
from utils.configuration import Configuration
from utils.files import require_writable
from utils.images import save_image
from web.onnx_simulator import OnnxSimulator, largest_difference
from web.onnx_step import ExportedStep, export_step
from web.operations import Cost, naive_cost, step_cost
from web.runtime import RUNTIME_FOLDER, find_runtime, runtime_description
from web.single_file import write_single_file

FORMAT_VERSION = 1
"""Of `game.json`."""

PAGE = Path(__file__).parent / "page"
INDEX = "index.html"
GAME_FILE, MODEL_FILE, INITIAL_STATE_FILE = "game.json", "model.onnx", "initial_state.bin"

GENERATOR = '<meta name="generator" content="playable-video export">'
"""By which an exported page is known."""

CHECKED_STEPS = 20
"""How many steps an exported model and PyTorch play for comparison."""

DRAWS = 8
"""How often a starting frame is drawn until it is unlike the others."""


@dataclass(frozen=True)
class Options:
    """The command line of `export.py`, which explains them."""

    output_directory: Path
    half: bool = False
    single_file: bool = False
    runtime: Literal["local", "cdn"] = "local"
    runtime_directory: Path | None = None
    action_names: Sequence[str] | None = None
    starting_frames: int = 8
    initial_frame: str | None = None
    fps: float = 10.0


@dataclass(frozen=True)
class Exported:
    """What was exported, and what it is worth."""

    num_files: int
    num_bytes: int
    model_bytes: int
    source: str
    """Where the starting frames are from."""
    cost: Cost
    naive_cost: Cost
    largest_difference: float
    """From PyTorch's frames in [-1, 1], over `CHECKED_STEPS` random steps."""


def export_page(config: Configuration, options: Options) -> Exported:
    """Write the page of a run's latest checkpoint, ours or the authors'.

    Raises:
        UserError: something is missing, damaged or impossible; the folder holds something else.
        OSError: the disk is full; the folder is as it was.
    """
    actions = _action_names(config, options)
    _require_usable(options.output_directory)
    if options.single_file and options.runtime == "cdn":
        raise UserError("--single_file with --runtime cdn: a single file holds its runtime; leave one of them out")
    runtime = find_runtime(options.runtime_directory) if options.runtime == "local" else None
    simulator, checkpoint = load_simulator(config, torch.device("cpu"))
    draw, source = choose_starting_frames(config, options.initial_frame, checkpoint)
    starts = _distinct_frames(draw, options.starting_frames)
    step = export_step(simulator.model, options.half)

    difference = _difference(simulator, step, starts[0])
    cost, naive = step_cost(step.model), naive_cost(config)

    game = _game(config, options, actions, step)
    sizes = _publish(options, game, step, starts, runtime)
    return Exported(len(sizes), sum(sizes), game["model"]["bytes"], source, cost, naive, difference)


def _action_names(config: Configuration, options: Options) -> list[str]:
    """What the actions are called: by default by their keys, from 1."""
    count = config.data.actions_count
    names = list(options.action_names or map(str, range(1, count + 1)))
    if len(names) != count:
        raise UserError(f"--action_names: {len(names)} names for the {count} actions of this model; give {count}")
    return names


def _require_usable(directory: Path) -> None:
    """`UserError` if a folder cannot be written, or holds something that is no earlier export."""
    require_writable(directory, "choose another --output_directory")
    if not directory.exists() or not any(directory.iterdir()):
        return
    index = directory / INDEX
    if not (index.is_file() and GENERATOR.encode() in index.read_bytes()):
        raise UserError(f"{directory}: holds something else than an earlier export; choose another --output_directory")


def _distinct_frames(draw: StartingFrames, count: int) -> list[np.ndarray]:
    """Up to `count` different frames uint8 (H, W, 3): the newest ones of drawn stacks."""
    frames: dict[bytes, np.ndarray] = {}
    for number in range(DRAWS * count):
        frame = draw(np.random.default_rng(number))[-1]
        frames[frame.tobytes()] = frame
        if len(frames) == count:
            break
    return list(frames.values())


def _difference(simulator: Simulator, step: ExportedStep, start: np.ndarray) -> float:
    """How far frames part from PyTorch's in [-1, 1], when random actions are played from a frame (H, W, 3)."""
    stack = np.broadcast_to(start, (1, *simulator.stack_shape)).copy()
    actions = np.random.default_rng(0).integers(simulator.actions_count, size=CHECKED_STEPS)
    return largest_difference(simulator, OnnxSimulator(step), stack, actions)


def _game(config: Configuration, options: Options, actions: list[str], step: ExportedStep) -> dict[str, Any]:
    """What `game.json` says, starting frames aside."""
    width, height = config.model.representation_network.target_input_size
    return {
        "format_version": FORMAT_VERSION,
        "name": config.logging.run_name,
        "width": width,
        "height": height,
        "frame_rate": options.fps,
        "observation_stacking": config.evaluation.batching.observation_stacking,
        "variation_dimension": config.model.action_network.action_space_dimension,
        "uses_variations": step.uses_variations,
        "counts_steps": step.counts_steps,
        "actions": actions,
        "model": {"file": MODEL_FILE, "bytes": step.model.ByteSize()},
        "initial_state": {
            "file": INITIAL_STATE_FILE,
            "bytes": sum(state.nbytes for state in step.initial_state.values()),
        },
        "states": [{"name": name, "shape": list(state.shape)} for name, state in step.initial_state.items()],
        "runtime": runtime_description(options.runtime),
    }


def _publish(
    options: Options, game: dict[str, Any], step: ExportedStep, starts: list[np.ndarray], runtime: Path | None
) -> list[int]:
    """Put the page together, move it to where it belongs, and return how many bytes each file has."""
    output = options.output_directory
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as temporary:
        page = Path(temporary, "page")
        _write_page(page, game, step, starts, runtime)
        if options.single_file:
            single = Path(temporary, "single")
            write_single_file(page, single / INDEX)
            page = single
        sizes = [path.stat().st_size for path in _files(page)]
        _move_files(page, output)
    return sizes


def _write_page(
    directory: Path, game: dict[str, Any], step: ExportedStep, starts: list[np.ndarray], runtime: Path | None
) -> None:
    """Write a page into a new folder, with the files of a runtime if it is to hold them."""
    shutil.copytree(PAGE, directory)
    index = directory / INDEX
    index.write_text(index.read_text("utf-8").replace("<head>", f"<head>\n{GENERATOR}", 1), "utf-8")
    (directory / MODEL_FILE).write_bytes(step.model.SerializeToString())
    states = [state.astype("<f4").tobytes() for state in step.initial_state.values()]
    (directory / INITIAL_STATE_FILE).write_bytes(b"".join(states))
    names = [f"starts/{number:02d}.png" for number in range(len(starts))]
    for name, frame in zip(names, starts, strict=True):
        save_image(directory / name, frame)
    (directory / GAME_FILE).write_text(json.dumps(game | {"starts": names}, indent=1), "utf-8")
    if runtime:
        (directory / RUNTIME_FOLDER).mkdir()
        for name in game["runtime"]["files"]:
            shutil.copyfile(runtime / name, directory / RUNTIME_FOLDER / name)


def _files(directory: Path) -> list[Path]:
    return [path for path in sorted(directory.rglob("*")) if path.is_file()]


def _move_files(source: Path, target: Path) -> None:
    """Move all files of a folder into another, where they replace those of the same names."""
    for path in _files(source):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)

"""A trained model as a page that anyone can play: everything found and checked before anything is written.

A page goes into a new or empty folder, or into one that an earlier export made, which its `index.html` tells: there the
files of the same names are replaced and all others stay. It is put together in a folder within and moved when it is
whole.

Dimensions: S stacked frames in an observation, K actions, H x W pixels.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from playing.hints import Hints, read_hints, require_action_names
from playing.manner import USUAL_FPS
from playing.simulator import Simulator, checkpoint_path, load_simulator
from playing.starting_frames import StartingFrames, choose_starting_frames
from utils.command import UserError
from utils.configuration import Configuration
from utils.files import require_writable
from web.exporters import find_exporter
from web.onnx_simulator import OnnxSimulator, largest_difference
from web.onnx_step import ExportedStep
from web.operations import Cost, step_cost
from web.page_folder import GENERATOR, INDEX, ExportedGame, write_page
from web.runtime import find_runtime
from web.single_file import write_single_file

UNFINISHED = ".unfinished"
"""The folder in which a page is put together."""

CHECKED_STEPS = 20
"""How many steps an exported model and PyTorch play for comparison."""

DRAWS = 8
"""How often a starting frame is drawn until it is unlike the others."""


@dataclass(frozen=True)
class ExportOptions:
    """The command line of `export.py`, which explains them."""

    output_directory: Path
    half: bool = False
    single_file: bool = False
    runtime: Literal["local", "cdn"] = "local"
    runtime_directory: Path | None = None
    action_names: Sequence[str] | None = None
    starting_frames: int = 8
    initial_frame: str | None = None
    fps: float | None = None


@dataclass(frozen=True)
class Exported:
    """What was exported, and what it is worth."""

    num_bytes: int
    model_bytes: int
    source: str
    """Where the starting frames are from."""
    cost: Cost
    naive_cost: Cost
    largest_difference: float
    """From PyTorch's frames in [-1, 1], over `CHECKED_STEPS` random steps."""


def export_page(config: Configuration, options: ExportOptions) -> Exported:
    """Write the page of a run's latest checkpoint, ours or the authors'.

    Raises:
        UserError: something is missing, damaged or impossible; the folder holds something else.
        OSError: the disk is full; the folder is as it was.
    """
    exporter = find_exporter(config)
    if options.action_names is not None:
        require_action_names(options.action_names, config.data.actions_count)
    _require_usable(options.output_directory)
    if options.single_file and options.runtime == "cdn":
        raise UserError("--single_file with --runtime cdn: a single file holds its runtime; leave one of them out")
    runtime = find_runtime(options.runtime_directory) if options.runtime == "local" else None
    simulator, checkpoint = load_simulator(config, torch.device("cpu"))
    hints = read_hints(checkpoint, checkpoint_path(config), config.data.actions_count)
    draw, source = choose_starting_frames(config, options.initial_frame, checkpoint)
    starts = _distinct_frames(draw, options.starting_frames)
    step = exporter.export_step(simulator.model, options.half)

    difference = _difference(simulator, step, starts[0])
    cost, naive = step_cost(step.model), exporter.naive_cost(config)
    num_bytes = _publish(_game(config, step, starts, options, hints), options, runtime)
    return Exported(num_bytes, step.model.ByteSize(), source, cost, naive, difference)


def _game(
    config: Configuration, step: ExportedStep, starts: list[np.ndarray], options: ExportOptions, hints: Hints
) -> ExportedGame:
    """What is played, its actions called as the options say, else the checkpoint, else by their keys, from 1."""
    names = options.action_names or hints.action_names or map(str, range(1, config.data.actions_count + 1))
    return ExportedGame(config, step, starts, list(names), options.fps or hints.real_time_fps or USUAL_FPS)


def _require_usable(directory: Path) -> None:
    """`UserError` if a folder cannot be written, or holds something that is no earlier export."""
    require_writable(directory, "choose another --output_directory")
    if not directory.exists() or all(path.name == UNFINISHED for path in directory.iterdir()):
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


def _publish(game: ExportedGame, options: ExportOptions, runtime: Path | None) -> int:
    """Put the page together, move it to where it belongs, and return how many bytes it has."""
    output = options.output_directory
    unfinished = output / UNFINISHED
    page, single = unfinished / "page", unfinished / "single"
    made = unfinished if output.exists() else output
    shutil.rmtree(unfinished, ignore_errors=True)  # of an export that was killed
    try:
        write_page(page, game, runtime)
        if options.single_file:
            write_single_file(page, single / INDEX)
        num_bytes = _move_files(single if options.single_file else page, output)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    shutil.rmtree(unfinished)
    return num_bytes


def _move_files(source: Path, target: Path) -> int:
    """Move all files of a folder into another, where they replace those of the same names; returns their bytes."""
    files = [path for path in source.rglob("*") if path.is_file()]
    files.sort(key=lambda path: path.name != INDEX)  # first the one by which the folder is known
    num_bytes = sum(path.stat().st_size for path in files)
    for path in files:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    return num_bytes

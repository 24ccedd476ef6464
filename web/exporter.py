"""Export of trained models to a web page.

Everything is checked before anything is written. A page is written to a new or empty folder, or to that of an earlier
export, which is recognised by its `index.html`: there, files with the same names are replaced, and all others stay. The
page is built in a subfolder and moved once it is complete.

Dimensions: S stacked frames in an observation, K actions, H x W pixels.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tqdm import tqdm

from playing.hints import Hints, read_hints, require_action_names
from playing.manner import USUAL_FPS
from playing.simulator import Simulator, checkpoint_path, load_simulator
from playing.starting_frames import StartingFrames, choose_starting_frames
from utils.command import UserError
from utils.configuration import Configuration
from utils.files import require_writable
from web.exporters import ModelExporter, find_exporter
from web.onnx_simulator import OnnxSimulator, largest_difference
from web.onnx_step import ExportedStep
from web.operations import Cost, step_cost
from web.page_folder import GENERATOR, INDEX, ExportedGame, write_page
from web.runtime import find_runtime
from web.single_file import write_single_file

UNFINISHED = ".unfinished"
"""The subfolder in which a page is built."""

CHECKED_STEPS = 20
"""Number of steps for which the exported model is compared with PyTorch."""

DRAWS = 8
"""Number of draws per wanted starting frame, to find different ones."""


@dataclass(frozen=True)
class ExportOptions:
    """The options of `export.py`, explained by its `--help`."""

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
class CheckedGame:
    """A game of an export, with its size, cost and accuracy."""

    game: ExportedGame
    source: str
    """Description of the source of the starting frames."""
    cost: Cost
    """Cost of a step."""
    naive_cost: Cost
    """Cost of a step of an unoptimised export."""
    largest_difference: float
    """Largest difference from PyTorch's frames, in [-1, 1], over `CHECKED_STEPS` random steps."""

    half: bool
    """Whether weights are stored in half precision."""

    @property
    def name(self) -> str:
        """The name of its run."""
        return self.game.config.logging.run_name

    @property
    def report(self) -> str:
        """Lines on size, cost and accuracy."""
        cost, naive = self.cost, self.naive_cost
        num_bytes = self.game.step.model.ByteSize()
        return (
            f"model       {num_bytes / 1e6:.1f} MB, weights in {'float16' if self.half else 'float32'}\n"
            f"a step      {cost.operations} operations, {cost.multiply_adds / 1e6:.0f} million multiply-adds\n"
            f"            (a naive export: {naive.operations} operations, {naive.multiply_adds / 1e6:.0f} million)\n"
            f"checked     frames differ from PyTorch's by {self.largest_difference:.1e} at most, in [-1, 1], over "
            f"{CHECKED_STEPS} steps\n"
            f"starts from {self.source}"
        )


@dataclass(frozen=True)
class Exported:
    """An exported page."""

    num_bytes: int
    """Size of the page."""
    games: list[CheckedGame]
    """Its games, in the order in which they were given."""


def export_page(config: Configuration, options: ExportOptions, checkpoint: Path | None = None) -> Exported:
    """Write the page of a checkpoint, ours or the authors', by default of the run's latest; see `export_games`."""
    return export_games([(config, checkpoint)], options)


def export_games(models: Sequence[tuple[Configuration, Path | None]], options: ExportOptions) -> Exported:
    """Write the page of one or several games.

    Args:
        models: the configuration and the checkpoint, ours or the authors', of each game; None for the run's latest.
        options: the options of all games.

    Raises:
        UserError: something is missing, damaged or invalid, or the folder holds something else.
        OSError: the page cannot be written, such as to a full disk; the folder stays as it was.
    """
    exporters = [find_exporter(config) for config, _ in models]
    _require_fitting(models, options)
    _require_usable(options.output_directory)
    runtime = find_runtime(options.runtime_directory) if options.runtime == "local" else None
    paths = [checkpoint_path(config, path) for config, path in models]
    parts = tqdm(list(zip(models, exporters, paths, strict=True)), desc="exporting", unit="game", disable=None)
    games = [_checked_game(config, exporter, path, options) for (config, _), exporter, path in parts]
    return Exported(_publish([game.game for game in games], options, runtime), games)


def _require_fitting(models: Sequence[tuple[Configuration, Path | None]], options: ExportOptions) -> None:
    """Check that the options fit each other and the models.

    Raises:
        UserError: they do not.
    """
    if len(models) > 1:
        of_one = {
            "--single_file": options.single_file,
            "--action_names": options.action_names is not None,
            "--initial_frame": options.initial_frame is not None,
        }
        if given := [flag for flag, is_given in of_one.items() if is_given]:
            raise UserError(f"{given[0]} is for one game, not for {len(models)}; name one, or leave it out")
    elif options.action_names is not None:
        require_action_names(options.action_names, models[0][0].data.actions_count)
    if options.single_file and options.runtime == "cdn":
        raise UserError("--single_file with --runtime cdn: a single file holds its runtime; leave one of them out")


def _checked_game(config: Configuration, exporter: ModelExporter, path: Path, options: ExportOptions) -> CheckedGame:
    """Return the game of a checkpoint, compared with PyTorch."""
    simulator, checkpoint = load_simulator(config, torch.device("cpu"), path)
    hints = read_hints(checkpoint, path, config.data.actions_count)
    draw, source = choose_starting_frames(config, options.initial_frame, checkpoint)
    starts = _distinct_frames(draw, options.starting_frames)
    step = exporter.export_step(simulator.model, options.half)
    difference = _difference(simulator, step, starts[0])
    game = _game(config, step, starts, options, hints)
    return CheckedGame(game, source, step_cost(step.model), exporter.naive_cost(config), difference, options.half)


def _game(
    config: Configuration, step: ExportedStep, starts: list[np.ndarray], options: ExportOptions, hints: Hints
) -> ExportedGame:
    """Return the game to export, with action names from the options, else from the checkpoint, else 1, 2, ..."""
    names = options.action_names or hints.action_names or map(str, range(1, config.data.actions_count + 1))
    return ExportedGame(config, step, starts, list(names), options.fps or hints.real_time_fps or USUAL_FPS)


def _require_usable(directory: Path) -> None:
    """Check that a page can be written to a folder.

    Raises:
        UserError: it cannot be written, or holds something other than an earlier export.
    """
    require_writable(directory, "choose another --output_directory")
    if not directory.exists() or all(path.name == UNFINISHED for path in directory.iterdir()):
        return
    index = directory / INDEX
    if not (index.is_file() and GENERATOR.encode() in index.read_bytes()):
        raise UserError(f"{directory}: holds something else than an earlier export; choose another --output_directory")


def _distinct_frames(draw: StartingFrames, count: int) -> list[np.ndarray]:
    """Draw up to `count` different starting frames, uint8 (H, W, 3)."""
    frames: dict[bytes, np.ndarray] = {}
    for number in range(DRAWS * count):
        frame = draw(np.random.default_rng(number))[-1]
        frames[frame.tobytes()] = frame
        if len(frames) == count:
            break
    return list(frames.values())


def _difference(simulator: Simulator, step: ExportedStep, start: np.ndarray) -> float:
    """Return the largest difference from PyTorch's frames, in [-1, 1], for random actions from a frame (H, W, 3)."""
    stack = np.broadcast_to(start, (1, *simulator.stack_shape)).copy()
    actions = np.random.default_rng(0).integers(simulator.actions_count, size=CHECKED_STEPS)
    return largest_difference(simulator, OnnxSimulator(step), stack, actions)


def _publish(games: list[ExportedGame], options: ExportOptions, runtime: Path | None) -> int:
    """Build the page, move it to its folder, and return its size in bytes."""
    output = options.output_directory
    unfinished = output / UNFINISHED
    page, single = unfinished / "page", unfinished / "single"
    made = unfinished if output.exists() else output
    shutil.rmtree(unfinished, ignore_errors=True)  # left over from a killed export
    try:
        write_page(page, games, runtime)
        if options.single_file:
            write_single_file(page, single / INDEX)
        num_bytes = _move_files(single if options.single_file else page, output)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    shutil.rmtree(unfinished)
    return num_bytes


def _move_files(source: Path, target: Path) -> int:
    """Move all files of a folder to another, replacing those with the same names; return their size in bytes."""
    files = [path for path in source.rglob("*") if path.is_file()]
    files.sort(key=lambda path: path.name != INDEX)  # first the file by which an export is recognised
    num_bytes = sum(path.stat().st_size for path in files)
    for path in files:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    return num_bytes

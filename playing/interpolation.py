"""Interpolation between two actions, and a sweep over all actions: each held from the same starting frame.

    play_results/<run_name>/<date-time>/interpolation_<i>_<j>/
        grid.png                       one row per step from action i to action j, its frames from left to right
        step_01_s_0.000.mp4 ...        each row as a video, enlarged by a whole factor
    play_results/<run_name>/<date-time>/sweep/
        grid.png                       one column per action, its frames from top to bottom
        video.mp4                      all actions side by side

Dimensions: B games side by side, S stacked frames in an observation, T frames (the starting frame and generated ones),
R x C rows and columns of a grid, K actions, D action-space dimension, H x W pixels.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from playing.recording import enlarged, new_session_folder
from playing.simulator import Simulator, load_simulator
from playing.starting_frames import choose_starting_frames
from utils.command import UserError
from utils.configuration import Configuration
from utils.device import ANOTHER_DEVICE, explaining_lack_of_memory, select_device
from utils.files import require_writable
from utils.images import save_image, tile, visible
from utils.mp4_writer import Mp4Writer

LABEL_HEIGHT = 32
LABEL_WIDTH = 64
"""Pixels of the margins with the labels of a grid's columns and rows."""


@dataclass(frozen=True)
class InterpolationOptions:
    """The options of `interpolate.py`, explained by its `--help`.

    Actions are 1 to K; both are None for a sweep.
    """

    checkpoint: Path | None = None
    first_action: int | None = None
    second_action: int | None = None
    steps: int = 10
    frames: int = 10
    device: str = "auto"
    initial_frame: str | None = None
    seed: int = 0
    fps: float = 10.0
    play_root: Path = Path("play_results")


@dataclass(frozen=True)
class HeldActions:
    """The action and variation that each of B games repeats at every step."""

    actions: np.ndarray  # (B,) integers from 0 to K - 1
    variations: np.ndarray  # (B, D)


def interpolate(config: Configuration, options: InterpolationOptions) -> None:
    """Play a checkpoint between two actions, or with each action, and save pictures and videos.

    Raises:
        UserError: an action or the checkpoint does not exist, or something is missing, damaged or invalid.
    """
    ends = _require_actions(config, options)
    device = select_device(options.device)
    require_writable(options.play_root, "choose another --play_root")
    with explaining_lack_of_memory(device, ANOTHER_DEVICE):
        _interpolate_on(device, config, options, ends)


def _interpolate_on(
    device: torch.device, config: Configuration, options: InterpolationOptions, ends: tuple[int, int] | None
) -> None:
    simulator, checkpoint = load_simulator(config, device, options.checkpoint)
    draw, source = choose_starting_frames(config, options.initial_frame, checkpoint)
    print(f"starting from {source}")
    stack = draw(np.random.default_rng((options.seed, 1)))  # the starting frame of play.py with the same seed

    session = new_session_folder(options.play_root, config.logging.run_name)
    if ends:
        shares = np.linspace(0, 1, options.steps)
        held = between(simulator.centroids.cpu().numpy(), ends[0] - 1, ends[1] - 1, shares)
        frames = play_held(simulator, stack, held, options.frames)
        folder = session / f"interpolation_{ends[0]}_{ends[1]}"
        save_interpolation(folder, frames, shares, options.fps)
    else:
        frames = play_held(simulator, stack, each_action(simulator), options.frames)
        folder = session / "sweep"
        save_sweep(folder, frames, options.fps)
    print(f"picture     {folder / 'grid.png'}")
    print(f"videos      {folder / '*.mp4'}")


def between(centroids: np.ndarray, first: int, second: int, shares: np.ndarray) -> HeldActions:
    """Interpolate between two actions (docs/method.md#interpolation).

    Each point on the line between the two centroids becomes the nearer action (the first if both are equally near),
    with the offset from that action's centroid as its variation.

    Args:
        centroids: (K, D), the points of the actions in the action space.
        first: an action from 0 to K - 1.
        second: another one, or the same.
        shares: (B,) positions on the line from the first to the second action, in [0, 1].
    """
    is_second_nearer = shares > 0.5
    way = centroids[second] - centroids[first]
    return HeldActions(np.where(is_second_nearer, second, first), np.outer(shares - is_second_nearer, way))


def each_action(simulator: Simulator) -> HeldActions:
    """Return each of the K actions once, without variation."""
    return HeldActions(np.arange(simulator.actions_count), np.zeros(simulator.centroids.shape))


def play_held(simulator: Simulator, stack: np.ndarray, held: HeldActions, num_frames: int) -> np.ndarray:
    """Play games side by side that all start with one stack uint8 (S, H, W, 3), oldest frame first.

    Returns:
        uint8 (B, T, H, W, 3): the starting frame and the `num_frames` generated ones.
    """
    moment = simulator.start(np.repeat(stack[np.newaxis], len(held.actions), axis=0))
    frames = [moment.frames]
    for _ in tqdm(range(num_frames), desc="playing", unit="frame", disable=None):
        moment = simulator.step(moment, held.actions, held.variations)
        frames.append(moment.frames)
    return np.stack(frames, axis=1)


def save_interpolation(folder: Path, frames: np.ndarray, shares: np.ndarray, frame_rate: float) -> None:
    """Save a picture of all steps and a video of each to a new folder.

    Args:
        folder: the folder, which must not exist.
        frames: uint8 (B, T, H, W, 3), a game for each step.
        shares: (B,) in [0, 1], the labels of the rows.
        frame_rate: frames a second in the videos.

    Raises:
        OSError: the folder exists or cannot be written.
        UserError: a video cannot be written.
    """
    folder.mkdir(parents=True)
    large = visible(frames)
    margin = tile(np.stack([[label(f"{share:.2f}", large.shape[2], LABEL_WIDTH)] for share in shares]))
    save_image(folder / "grid.png", np.concatenate([margin, tile(large)], axis=1))
    for number, (share, played) in enumerate(zip(shares, frames, strict=True), start=1):
        with closing(Mp4Writer(folder / f"step_{number:02d}_s_{share:.3f}.mp4", frame_rate)) as video:
            for frame in played:
                video.write(enlarged(frame))


def save_sweep(folder: Path, frames: np.ndarray, frame_rate: float) -> None:
    """Save a picture and a video of all actions side by side to a new folder.

    Args:
        folder: the folder, which must not exist.
        frames: uint8 (K, T, H, W, 3), a game for each action.
        frame_rate: frames a second in the video.

    Raises:
        OSError: the folder exists or cannot be written.
        UserError: the video cannot be written.
    """
    folder.mkdir(parents=True)
    rows = frames.swapaxes(0, 1)
    save_image(folder / "grid.png", _with_action_numbers(visible(rows)))
    with closing(Mp4Writer(folder / "video.mp4", frame_rate)) as video:
        for row in rows:
            video.write(_with_action_numbers(enlarged(row)[np.newaxis]))


def label(text: str, height: int, width: int) -> np.ndarray:
    """Draw black text in the middle of a white box: uint8 (height, width, 3)."""
    image = Image.new("RGB", (width, height), "white")
    font = ImageFont.load_default(size=min(20, height))
    ImageDraw.Draw(image).text((width / 2, height / 2), text, fill="black", anchor="mm", font=font)
    return np.asarray(image)


def _require_actions(config: Configuration, options: InterpolationOptions) -> tuple[int, int] | None:
    """Return the two actions to play between, or None for a sweep.

    Raises:
        UserError: the model has no such action, or no variations to interpolate with.
    """
    if options.first_action is None or options.second_action is None:
        return None
    actions_count = config.data.actions_count
    for name, action in (("first_action", options.first_action), ("second_action", options.second_action)):
        if not 1 <= action <= actions_count:
            raise UserError(f"--{name} {action}: the actions of this model are 1 to {actions_count}")
    if not config.model.action_network.use_variations:
        raise UserError(
            "model.action_network.use_variations is false: nothing was learned of what lies between two actions; use "
            "--sweep"
        )
    return options.first_action, options.second_action


def _with_action_numbers(frames: np.ndarray) -> np.ndarray:
    """Arrange frames (R, K, H, W, 3) below the numbers of the columns' actions."""
    labels = [label(str(number), LABEL_HEIGHT, frames.shape[3]) for number in range(1, frames.shape[1] + 1)]
    return np.concatenate([tile(np.stack([labels])), tile(frames)])

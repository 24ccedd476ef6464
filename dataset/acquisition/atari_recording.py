"""Recordings of real Atari play as a data set.

Writes `DIR/{train,val,test}/00000/00000.png ...`, an `annotations.json` beside the frames of every video, and
`DIR/recording.json` with the options. Videos that an earlier run finished are kept, so the same command completes an
interrupted recording. A video depends on nothing but the options and its place in the data set.

The annotations hold the ground truth, for evaluation only. Entry t belongs to frame t: `actions` is the action applied
between frames t and t + 1, `rewards` its reward, `dones` whether it ended the game (frame t + 1 then begins a new game)
and `metadata`, for Breakout, `{"agent_position": [x, y]}`, the centre of the paddle in pixels from the top left corner
of the recorded frame.
"""

import argparse
import difflib
import functools
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from dataset.acquisition.atari_emulator import ale_py
from dataset.acquisition.atari_players import BreakoutPlayer, Player, RandomPlayer
from dataset.acquisition.claim import claim_folder
from dataset.acquisition.parallel import run_in_parallel, stop_if_given_up
from dataset.splits import SPLITS
from dataset.video import Video, VideoWriter
from utils.command import UserError
from utils.files import only_process

SIDE_MULTIPLE = 16
"""The model takes frames whose sides are multiples of this."""

REACTION_FRAMES = 1
"""Emulator frames from a joystick press to its first effect on the screen.

Frames are recorded this long after their action began, so that the action's whole effect lies between its frame and the
next.
"""

MAX_WARM_UP_STEPS = 300
"""Maximum number of steps played before a video begins, so that videos show different moments of a game."""

RECORDING_FILE = "recording.json"


@dataclass(frozen=True)
class RecordingOptions:
    """The options that decide every byte of a data set."""

    game: str
    train_videos: int
    val_videos: int
    test_videos: int
    video_length: int
    frame_skip: int
    crop: tuple[int, int, int, int]
    target_size: tuple[int, int]
    seed: int

    def videos(self) -> list[tuple[str, int]]:
        """Return the split of every video and its number within the split."""
        counts = (self.train_videos, self.val_videos, self.test_videos)
        return [(split, index) for split, count in zip(SPLITS, counts, strict=True) for index in range(count)]


class Camera:
    """Crops screens to the box `crop` (left, top, right, bottom) and resizes them to `size` (width, height).

    Sides that shrink by more than a tenth are averaged; otherwise the nearest pixels are taken, which keeps colours
    exact.
    """

    def __init__(self, crop: tuple[int, int, int, int], size: tuple[int, int]):
        left, top, right, bottom = crop
        self._crop, self._size = crop, size
        self._scale = size[0] / (right - left), size[1] / (bottom - top)
        self._resample = Image.Resampling.BOX if min(self._scale) < 0.9 else Image.Resampling.NEAREST

    def capture(self, screen: np.ndarray) -> Image.Image:
        """Return the frame of a screen, (screen height, screen width, 3) uint8."""
        return Image.fromarray(screen).resize(self._size, self._resample, box=self._crop)

    def locate(self, position: tuple[float, float]) -> list[float]:
        """Map a screen position (x, y) to the frame: [x, y] in pixels, outside of the frame if cropped off."""
        return [(position[axis] - self._crop[axis]) * self._scale[axis] for axis in (0, 1)]


@functools.cache
def load_game(game: str) -> tuple[ale_py.ALEInterface, ale_py.ALEState]:
    """Return this process's emulator of a game, without sticky actions, and its initial state."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    emulator = ale_py.ALEInterface()
    emulator.setInt("random_seed", 0)
    emulator.setFloat("repeat_action_probability", 0.0)
    rom = ale_py.roms.get_rom_path(game)
    assert rom is not None, game
    emulator.loadROM(rom)
    return emulator, emulator.cloneSystemState()


def create_player(game: str, random: np.random.Generator) -> Player:
    """Return a player for one video of the game."""
    if game == "breakout":
        return BreakoutPlayer(random)
    emulator, _ = load_game(game)
    return RandomPlayer(emulator.getMinimalActionSet(), random)


def record_video(recording: RecordingOptions, directory: Path, split: str, index: int) -> None:
    """Play and write the video `index` of `split` in the data set `directory`.

    Raises:
        VideoError: the video exists.
        OSError: it cannot be written; nothing is left behind.
        KeyboardInterrupt: the recording was cancelled; nothing is left behind.
    """
    random = np.random.default_rng([recording.seed, SPLITS.index(split), index])
    player = create_player(recording.game, random)
    camera = Camera(recording.crop, recording.target_size)
    reaction_frames = min(REACTION_FRAMES, recording.frame_skip - 1)
    emulator, switched_on = load_game(recording.game)
    emulator.restoreSystemState(switched_on)

    def press(joystick: ale_py.Action, num_frames: int) -> int:
        return sum(emulator.act(joystick) for _ in range(num_frames))

    with VideoWriter(_video_path(directory, split, index)) as writer:
        warm_up_steps = random.integers(1, MAX_WARM_UP_STEPS, endpoint=True)
        for step in range(-warm_up_steps, recording.video_length):
            stop_if_given_up()
            action, joystick = player.choose(emulator.getRAM())
            reward = press(joystick, reaction_frames)
            screen, position = emulator.getScreenRGB(), player.agent_position(emulator.getRAM())
            reward += press(joystick, recording.frame_skip - reaction_frames)
            done = emulator.game_over()
            if step >= 0:
                metadata = {"agent_position": camera.locate(position)} if position else {}
                writer.append(camera.capture(screen), action, reward, metadata, done)
            if done:
                emulator.reset_game()


def record(recording: RecordingOptions, directory: Path, processes: int) -> int:
    """Record the videos that `directory` lacks, under a progress bar, and return how many those were.

    Raises:
        UserError: `directory` holds anything but a recording with these options, or another process records there.
        OSError: a file cannot be written.
    """
    claim_folder(directory, RECORDING_FILE, asdict(recording), "recorded")
    videos = recording.videos()
    with only_process(directory, "--output_directory"):
        missing = [video for video in videos if not _video_path(directory, *video).exists()]
        with tqdm(total=len(videos), initial=len(videos) - len(missing), unit="video") as progress:
            record_one = functools.partial(record_video, recording, directory)
            run_in_parallel(record_one, missing, processes, lambda _: progress.update())
    return len(missing)


def describe(recording: RecordingOptions, directory: Path) -> str:
    """Return what a complete data set holds, in a few lines: videos, frames, actions, rewards and where it lies."""
    videos = [Video(_video_path(directory, *video)).annotations for video in recording.videos()]
    actions = Counter(action for video in videos for action in video.actions)
    num_frames = actions.total()
    names = create_player(recording.game, np.random.default_rng()).action_names
    shares = ", ".join(f"{index} {name} {actions[index] / num_frames:.1%}" for index, name in enumerate(names))
    reward = sum(sum(video.rewards) for video in videos)
    width, height = recording.target_size
    return (
        f"{len(videos)} videos, {num_frames} frames of {width}x{height} in {directory}\n"
        f"actions: {shares}\n"
        f"reward per 100 frames: {100 * reward / num_frames:.2f}"
    )


def _video_path(directory: Path, split: str, index: int) -> Path:
    return directory / split / f"{index:05d}"


def recording_of(arguments: argparse.Namespace) -> RecordingOptions:
    """Return the validated options of a recording.

    Raises:
        UserError: the game is unknown, there are no videos, or crop or target size are invalid.
    """
    games = ale_py.roms.get_all_rom_ids()
    if arguments.game not in games:
        close = difflib.get_close_matches(arguments.game, games, n=3)
        remedy = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(games)}"
        raise UserError(f"--game {arguments.game}: unknown game; {remedy}")

    emulator, _ = load_game(arguments.game)
    screen_height, screen_width = emulator.getScreenDims()
    left, top, right, bottom = tuple(arguments.crop or (0, 0, screen_width, screen_height))
    if not (0 <= left < right <= screen_width and 0 <= top < bottom <= screen_height):
        raise UserError(
            f"--crop {left} {top} {right} {bottom}: does not lie within the screen; give "
            f"0 <= L < R <= {screen_width} and 0 <= T < B <= {screen_height}"
        )
    size = arguments.target_size or [side // SIDE_MULTIPLE * SIDE_MULTIPLE for side in (right - left, bottom - top)]
    width, height = size
    if min(size) < SIDE_MULTIPLE or any(side % SIDE_MULTIPLE for side in size):
        raise UserError(
            f"frames of {width}x{height} pixels: the model needs sides that are multiples of {SIDE_MULTIPLE}; "
            "choose another --target_size"
        )
    recording = RecordingOptions(
        game=arguments.game,
        train_videos=arguments.train_videos,
        val_videos=arguments.val_videos,
        test_videos=arguments.test_videos,
        video_length=arguments.video_length,
        frame_skip=arguments.frame_skip,
        crop=(left, top, right, bottom),
        target_size=(width, height),
        seed=arguments.seed,
    )
    if not recording.videos():
        raise UserError("no videos to record; give --train_videos, --val_videos or --test_videos above 0")
    return recording

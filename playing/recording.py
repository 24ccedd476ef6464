"""The recording of a played sequence: its frames, three videos, and the file from which it can be replayed.

    play_results/<run_name>/<date-time>/<sequence>/
        starting_frames/00000.png ...   the first observation, oldest frame first
        frames/00000.png ...            the frames shown: the start, then one frame per event
        video.mp4                       the frames, enlarged by a whole factor
        video_actions.mp4               the same with the number of the action drawn in
        video_real_time.mp4             each frame for as long as it was shown
        play.json                       the events with their times, and the checkpoint

Everything is written immediately: a process that is killed loses at most the last frame.
"""

import datetime
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from dataset.video import to_rgb
from utils.command import UserError, one_line
from utils.files import replacing
from utils.images import enlarge, labelled, save_image
from utils.mp4_writer import Mp4Writer

PLAY_FILE = "play.json"
FORMAT_VERSION = 1

VIDEO_HEIGHT = 320
"""Pixels: frames are enlarged by the whole factor that comes nearest to this height."""

REAL_TIME_FRAME_RATE = 30
LONGEST_PAUSE = 10.0
"""Frames a second of the video in real time, and the length in seconds to which longer pauses in it are shortened."""


@dataclass(frozen=True)
class Event:
    """An action of the player, from 1 to K, or 0 for undoing the last step."""

    action: int
    noise: bool
    seconds: float
    """Seconds since the start of the sequence."""


@dataclass(frozen=True)
class Header:
    """The checkpoint and settings with which a sequence was played."""

    run_name: str
    checkpoint: str
    checkpoint_sha256: str
    device: str
    seed: int
    """Seed of this sequence's noise."""
    frame_rate: float
    """Frames a second of the videos that do not keep the real timing."""


class Recording:
    """Records one sequence to a new folder."""

    def __init__(self, folder: Path, header: Header, stack: np.ndarray) -> None:
        """Start with the frames of the first observation: uint8 (S, H, W, 3), oldest first.

        Raises:
            OSError: the folder exists or cannot be written.
        """
        folder.mkdir(parents=True)
        self.folder = folder
        self.num_frames = 0
        self._start = time.monotonic()
        self._shown: tuple[np.ndarray, float] | None = None  # the current frame, and the time since which it is shown
        self._real_time = 0.0  # length in seconds that the video in real time should have, and frames written so far
        self._num_real_time_frames = 0
        for name in ("starting_frames", "frames"):
            (folder / name).mkdir()
        for index, frame in enumerate(stack):
            save_image(folder / "starting_frames" / f"{index:05d}.png", frame)
        self._video = Mp4Writer(folder / "video.mp4", header.frame_rate)
        self._video_actions = Mp4Writer(folder / "video_actions.mp4", header.frame_rate)
        self._video_real_time = Mp4Writer(folder / "video_real_time.mp4", REAL_TIME_FRAME_RATE)
        self._events = _JsonList(folder / PLAY_FILE, {"format_version": FORMAT_VERSION, **asdict(header)}, "events")
        self._show(stack[-1], "")

    def seconds(self) -> float:
        """Return the seconds since the start of the sequence."""
        return time.monotonic() - self._start

    def add(self, event: Event, frame: np.ndarray) -> None:
        """Record an event and the frame uint8 (H, W, 3) that it led to.

        Raises:
            OSError: a file cannot be written.
            UserError: a video cannot be written.
        """
        self._events.append(asdict(event))
        self._show(frame, str(event.action) if event.action else "<", event.seconds)

    def close(self) -> None:
        """Finish the videos.

        Raises:
            UserError: one cannot be written.
        """
        self._hold(min(self.seconds(), self._shown[1] + 1) if self._shown else 0)
        self._events.close()
        for video in (self._video, self._video_actions, self._video_real_time):
            video.close()

    def _show(self, frame: np.ndarray, label: str, seconds: float = 0.0) -> None:
        with replacing(self.folder / "frames" / f"{self.num_frames:05d}.png", is_durable=False) as file:
            Image.fromarray(frame).save(file, format="png")
        self.num_frames += 1
        large = enlarged(frame)
        self._video.write(large)
        self._video_actions.write(labelled(large, label))
        self._hold(seconds)
        self._shown = large, seconds

    def _hold(self, until: float) -> None:
        """Write the current frame to the video in real time for as long as it was shown."""
        if self._shown is not None:
            large, since = self._shown
            self._real_time += min(until - since, LONGEST_PAUSE)
            while self._num_real_time_frames < round(self._real_time * REAL_TIME_FRAME_RATE):
                self._video_real_time.write(large)
                self._num_real_time_frames += 1


def enlarged(frames: np.ndarray) -> np.ndarray:
    """Enlarge frames (..., H, W, 3) for a video, by the whole factor that comes nearest to `VIDEO_HEIGHT`."""
    return enlarge(frames, max(1, round(VIDEO_HEIGHT / frames.shape[-3])))


def new_session_folder(root: Path, run_name: str) -> Path:
    """Return a path that does not exist yet for a session that starts now: `root/run_name/date-time`."""
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    candidates = (root / run_name / (now + suffix) for suffix in ("", *(f"_{number}" for number in range(2, 1000))))
    return next(folder for folder in candidates if not folder.exists())


def read_play(path: Path) -> tuple[Header, list[Event], np.ndarray]:
    """Read `play.json` and the starting frames beside it: the header, the events, and the stack uint8 (S, H, W, 3).

    Raises:
        UserError: the file is missing, damaged or of another version, or the frames are.
    """
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
        version, events = contents.pop("format_version"), contents.pop("events")
        if version != FORMAT_VERSION:
            raise ValueError(f"format_version {version} instead of {FORMAT_VERSION}")
        header = Header(**contents)
        played = [Event(int(event["action"]), bool(event["noise"]), float(event["seconds"])) for event in events]
        _require_playable(played)
        pictures = sorted((path.parent / "starting_frames").glob("*.png"))
        stack = np.stack([_read_picture(picture) for picture in pictures])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: not a recording that can be replayed: {one_line(error)}; give the play.json of a folder that "
            "play.py wrote"
        ) from error
    return header, played, stack


def read_frame(path: Path, number: int) -> np.ndarray | None:
    """Return the frame uint8 (H, W, 3) of a recording after its first `number` events; None if it is unreadable."""
    try:
        return _read_picture(path.parent / "frames" / f"{number:05d}.png")
    except (OSError, ValueError):
        return None


def _require_playable(events: list[Event]) -> None:
    """Check that the events can be replayed.

    Raises:
        ValueError: an event is not an action, or undoes a step that was not taken.
    """
    num_steps = 0
    for number, event in enumerate(events):
        num_steps += 1 if event.action else -1
        if event.action < 0 or num_steps < 0:
            raise ValueError(f"event {number} cannot have happened")


def _read_picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(to_rgb(image))


class _JsonList:
    """A JSON file with a growing list; the file is valid JSON after every entry."""

    _END = b"\n]}\n"

    def __init__(self, path: Path, header: dict[str, Any], name: str) -> None:
        self._file: IO[bytes] = path.open("xb", buffering=0)
        self._file.write(json.dumps(header, indent=1)[:-2].encode() + f',\n "{name}": ['.encode() + self._END)
        self._is_empty = True

    def append(self, entry: dict[str, Any]) -> None:
        self._file.seek(-len(self._END), 2)
        separator = b"\n" if self._is_empty else b",\n"
        self._file.write(separator + json.dumps(entry).encode() + self._END)
        self._is_empty = False

    def close(self) -> None:
        self._file.close()

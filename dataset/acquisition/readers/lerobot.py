"""Reader of LeRobot data sets, version 3: Parquet tables and MP4 files that hold several episodes each.

    meta/info.json                                  frame rate and features
    meta/episodes/chunk-000/file-000.parquet ...    per episode: location of its rows and, per camera, of its frames
    data/chunk-000/file-000.parquet ...             per frame: `action` and more
    videos/<camera>/chunk-000/file-000.mp4 ...      the episodes, one after the other

Each episode becomes a video of the first camera. An `action` that is a single integer is the action of its frame; every
numeric `action` goes to the metadata.

Dimensions: T frames in an episode, A dimensions of an action.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from dataset.acquisition.readers.files import explaining_damage
from dataset.acquisition.readers.parquet import numeric_columns, read_columns
from dataset.acquisition.readers.source import Probe, Source, SourceError, SourceFrame
from dataset.acquisition.readers.video_file import VideoFile
from utils.command import UserError

VERSION = "v3.0"
INFO_FILE = "meta/info.json"
EPISODES_FILE = "meta/episodes/chunk-{chunk:03d}/file-{file:03d}.parquet"
DATA_FILE = "data/chunk-{chunk:03d}/file-{file:03d}.parquet"
VIDEO_FILE = "videos/{camera}/chunk-{chunk:03d}/file-{file:03d}.mp4"
"""File locations in version 3. `info.json` repeats them, but is not used: it may point anywhere."""

MAX_EPISODE_FRAMES = 2**22
MAX_ACTION_DIMENSIONS = 1024
_MAX_INFO_BYTES = 2**24


class Feature(BaseModel):
    """Fields used of a feature's description in `meta/info.json`."""

    dtype: str
    info: dict[str, Any] | None = None

    @property
    def is_video(self) -> bool:
        """Whether it is a colour video."""
        known = self.info or {}
        return self.dtype == "video" and not (known.get("is_depth_map") or known.get("video.is_depth_map"))


class Info(BaseModel):
    """Fields used of `meta/info.json`."""

    codebase_version: str
    fps: float = Field(gt=0, le=1000)
    features: dict[str, Feature]


class Episode(BaseModel, frozen=True):
    """Row of the table of episodes."""

    index: int = Field(ge=0)
    num_frames: int = Field(gt=0, le=MAX_EPISODE_FRAMES)
    data_chunk: int = Field(ge=0)
    data_file: int = Field(ge=0)
    video_chunk: int = Field(ge=0)
    video_file: int = Field(ge=0)
    video_start: float = Field(ge=0, allow_inf_nan=False)
    """Time of the first frame in the video file, in seconds."""


def episode_columns(camera: str) -> dict[str, str]:
    """Return the column of the table of episodes for each field of `Episode`."""
    return {
        "index": "episode_index",
        "num_frames": "length",
        "data_chunk": "data/chunk_index",
        "data_file": "data/file_index",
        "video_chunk": f"videos/{camera}/chunk_index",
        "video_file": f"videos/{camera}/file_index",
        "video_start": f"videos/{camera}/from_timestamp",
    }


def find(path: Path) -> list[Source]:
    """Return the episodes of the data set in the folder `path` in order; empty if it is no LeRobot data set.

    Raises:
        UserError: it is of another version or has no videos, its tables cannot be read, or pyarrow is not installed.
    """
    if not (path / INFO_FILE).is_file():
        return []
    info = _read_info(path / INFO_FILE)
    camera = next((name for name, feature in info.features.items() if feature.is_video), None)
    if camera is None or Path(camera).name != camera:
        raise SourceError(f"{path / INFO_FILE}: has no usable feature of the type video; export the data set with one")
    frame_rate = Fraction(info.fps).limit_denominator(1001)
    return [LeRobotEpisode(path, camera, frame_rate, episode) for episode in _read_episodes(path, camera)]


@dataclass(frozen=True)
class LeRobotEpisode:
    """One episode of the data set in the folder `root`."""

    root: Path
    camera: str
    frame_rate: Fraction
    episode: Episode

    @property
    def name(self) -> str:
        """Name of the data set and number of the episode."""
        return f"{self.root.resolve().name}/episode_{self.episode.index:06d}"

    def probe(self) -> Probe:
        """Read the properties of the video.

        Raises:
            SourceError: it cannot be read.
        """
        return replace(self._video.probe(), frame_rate=self.frame_rate, num_frames=self.episode.num_frames)

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames with their actions.

        Raises:
            SourceError: the video or its table is damaged or too short.
        """
        frames = self._video.frames()
        for index, known in enumerate(self._annotations()):
            frame = next(frames, None)
            if frame is None:
                raise SourceError(f"{self._video.name}: ends after {index} of {self.episode.num_frames} frames")
            yield replace(frame, **known)

    @property
    def _video(self) -> VideoFile:
        """Part of a video file that shows the episode, from half a frame before the first, to be robust to rounding."""
        episode = self.episode
        file = VIDEO_FILE.format(camera=self.camera, chunk=episode.video_chunk, file=episode.video_file)
        half_a_frame = float(1 / self.frame_rate) / 2
        start = max(0.0, episode.video_start - half_a_frame)
        end = episode.video_start + (2 * episode.num_frames - 1) * half_a_frame
        return VideoFile(self.root / file, f"{self.name}: {file}", start, end)

    def _annotations(self) -> list[dict[str, Any]]:
        """Return the known fields of each frame's `SourceFrame`."""
        episode = self.episode
        file = self.root / DATA_FILE.format(chunk=episode.data_chunk, file=episode.data_file)
        if "action" not in numeric_columns(file):
            return [{}] * episode.num_frames
        columns = read_columns(file, ["frame_index", "action"], episode_index=episode.index)
        if columns["frame_index"] != list(range(episode.num_frames)):
            raise SourceError(f"{self.name}: {file} does not hold its {episode.num_frames} frames in order")
        with explaining_damage(f"{self.name}: the actions in {file}"):
            actions = np.array(columns["action"])  # (T) or (T, A)
        if actions.dtype.kind not in "iubf" or not 0 < actions[0].size <= MAX_ACTION_DIMENSIONS:
            raise SourceError(f"{self.name}: {file} has actions that are missing or too long")
        metadata: list[dict[str, Any]] = [{"metadata": {"action": action.tolist()}} for action in actions]
        if actions.dtype.kind == "f" or actions[0].size > 1:
            return metadata
        return [{"action": int(action.item()), **known} for action, known in zip(actions, metadata, strict=True)]


def _read_info(file: Path) -> Info:
    if file.stat().st_size > _MAX_INFO_BYTES:
        raise SourceError(f"{file}: is larger than {_MAX_INFO_BYTES} bytes; it is no description of a data set")
    with explaining_damage(str(file)):
        info = Info.model_validate_json(file.read_bytes())
    if info.codebase_version != VERSION:
        raise UserError(
            f"{file}: is of version {info.codebase_version}, but {VERSION} is read; convert it with LeRobot: "
            "python -m lerobot.datasets.v30.convert_dataset_v21_to_v30"
        )
    return info


def _read_episodes(root: Path, camera: str) -> list[Episode]:
    columns = episode_columns(camera)
    episodes = []
    for file in sorted(root.glob("meta/episodes/*/*.parquet")):
        table = read_columns(file, list(columns.values()))
        with explaining_damage(str(file)):
            rows = zip(*(table[column] for column in columns.values()), strict=True)
            episodes += [Episode(**dict(zip(columns, row, strict=True))) for row in rows]
    if not episodes:
        raise SourceError(f"{root / 'meta/episodes'}: there are no episodes; download the data set again")
    return sorted(episodes, key=lambda episode: episode.index)

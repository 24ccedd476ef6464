"""Reader of LeRobot data sets, versions 3.0 and 2.1: Parquet tables, and MP4 files or pictures in the tables.

    meta/info.json                                  frame rate and features
    meta/episodes/chunk-000/file-000.parquet ...    per episode: location of its rows and, per camera, of its frames
    data/chunk-000/file-000.parquet ...             per frame: `action` and more
    videos/<camera>/chunk-000/file-000.mp4 ...      the episodes, one after the other

In version 2.1 each episode has files of its own:

    meta/episodes.jsonl                             per episode: a line with its number and length
    data/chunk-000/episode_000000.parquet ...
    videos/chunk-000/<camera>/episode_000000.mp4 ...

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
from dataset.acquisition.readers.parquet import numeric_columns, read_columns, read_pictures
from dataset.acquisition.readers.pictures import decoded_pixels
from dataset.acquisition.readers.source import Probe, Source, SourceError, SourceFrame
from dataset.acquisition.readers.video_file import VideoFile
from utils.command import UserError

VERSION = "v3.0"
VERSION_OF_FILES = "v2.1"
"""The version in which each episode has files of its own."""
INFO_FILE = "meta/info.json"
EPISODES_FILE = "meta/episodes/chunk-{chunk:03d}/file-{file:03d}.parquet"
DATA_FILE = "data/chunk-{chunk:03d}/file-{file:03d}.parquet"
VIDEO_FILE = "videos/{camera}/chunk-{chunk:03d}/file-{file:03d}.mp4"
EPISODES_LIST = "meta/episodes.jsonl"
EPISODE_DATA_FILE = "data/chunk-{chunk:03d}/episode_{index:06d}.parquet"
EPISODE_VIDEO_FILE = "videos/chunk-{chunk:03d}/{camera}/episode_{index:06d}.mp4"
"""File locations in both versions. `info.json` repeats them, but is not used: it may point anywhere."""

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
    chunks_size: int = Field(default=1000, gt=0)
    """Number of episodes in a folder, in version 2.1."""


class Row(BaseModel):
    """Row of the table of episodes; without a video, the pictures are in the table of frames."""

    index: int = Field(ge=0)
    num_frames: int = Field(gt=0, le=MAX_EPISODE_FRAMES)
    data_chunk: int = Field(ge=0)
    data_file: int = Field(ge=0)
    video_chunk: int = Field(default=0, ge=0)
    video_file: int = Field(default=0, ge=0)
    video_start: float = Field(default=0, ge=0, allow_inf_nan=False)
    """Time of the first frame in the video file, in seconds."""


class Line(BaseModel):
    """Line of the list of episodes in version 2.1."""

    episode_index: int = Field(ge=0)
    length: int = Field(gt=0, le=MAX_EPISODE_FRAMES)


@dataclass(frozen=True)
class Episode:
    """Where an episode is."""

    index: int
    num_frames: int
    data_file: str
    """The table of its frames, in the data set."""
    video_file: str | None
    """The video of its frames, in the data set; None: pictures in the table."""
    video_start: float = 0.0
    """Time of the first frame in the video file, in seconds."""


def episode_columns(camera: str | None) -> dict[str, str]:
    """Return the column of the table of episodes for each field of `Row`; without a camera, for those of the data."""
    columns = {
        "index": "episode_index",
        "num_frames": "length",
        "data_chunk": "data/chunk_index",
        "data_file": "data/file_index",
    }
    if camera is None:
        return columns
    return columns | {
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
    videos = [name for name, feature in info.features.items() if feature.is_video]
    pictures = [name for name, feature in info.features.items() if feature.dtype == "image"]
    camera = next(iter([*videos, *pictures]), None)
    if camera is None or Path(camera).name != camera:
        raise SourceError(f"{path / INFO_FILE}: has no usable feature of the type video; export the data set with one")
    frame_rate = Fraction(info.fps).limit_denominator(1001)
    if info.codebase_version == VERSION_OF_FILES:
        episodes = _list_episodes(path, camera, bool(videos), info.chunks_size)
    else:
        episodes = _read_episodes(path, camera, bool(videos))
    return [LeRobotEpisode(path, camera, frame_rate, episode) for episode in episodes]


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
        if self.episode.video_file is not None:
            probe = self._video(self.episode.video_file).probe()
            width, height = probe.width, probe.height
        else:
            height, width, _ = next(self._pictures()).pixels.shape
        return Probe(width, height, self.frame_rate, self.episode.num_frames)

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames with their actions.

        Raises:
            SourceError: the video or its table is damaged or too short.
        """
        file = self.episode.video_file
        frames = self._pictures() if file is None else self._video(file).frames()
        where = self.name if file is None else f"{self.name}: {file}"
        for index, known in enumerate(self._annotations()):
            frame = next(frames, None)
            if frame is None:
                raise SourceError(f"{where}: ends after {index} of {self.episode.num_frames} frames")
            yield replace(frame, **known)

    def _video(self, file: str) -> VideoFile:
        """Part of a video file that shows the episode, from half a frame before the first, to be robust to rounding."""
        episode = self.episode
        half_a_frame = float(1 / self.frame_rate) / 2
        start = max(0.0, episode.video_start - half_a_frame)
        end = episode.video_start + (2 * episode.num_frames - 1) * half_a_frame
        return VideoFile(self.root / file, f"{self.name}: {file}", start, end)

    def _pictures(self) -> Iterator[SourceFrame]:
        """Yield the pictures in the table of frames."""
        file = self.root / self.episode.data_file
        for number, encoded in enumerate(read_pictures(file, self.camera, self.episode.index)):
            yield SourceFrame(decoded_pixels(f"{self.name}: frame {number}", encoded))

    def _annotations(self) -> list[dict[str, Any]]:
        """Return the known fields of each frame's `SourceFrame`."""
        episode = self.episode
        file = self.root / episode.data_file
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
    if info.codebase_version not in (VERSION, VERSION_OF_FILES):
        raise UserError(
            f"{file}: is of version {info.codebase_version}, but {VERSION_OF_FILES} and {VERSION} are read; convert it "
            "with the release of LeRobot that follows its own"
        )
    return info


def _read_episodes(root: Path, camera: str, has_videos: bool) -> list[Episode]:
    columns = episode_columns(camera if has_videos else None)
    episodes = []
    for file in sorted(root.glob("meta/episodes/*/*.parquet")):
        table = read_columns(file, list(columns.values()))
        with explaining_damage(str(file)):
            for values in zip(*(table[column] for column in columns.values()), strict=True):
                row = Row(**dict(zip(columns, values, strict=True)))
                video = VIDEO_FILE.format(camera=camera, chunk=row.video_chunk, file=row.video_file)
                data = DATA_FILE.format(chunk=row.data_chunk, file=row.data_file)
                video_file = video if has_videos else None
                episodes.append(Episode(row.index, row.num_frames, data, video_file, row.video_start))
    return _in_order(episodes, root / "meta/episodes")


def _list_episodes(root: Path, camera: str, has_videos: bool, chunk_length: int) -> list[Episode]:
    """Return the episodes of version 2.1."""
    file = root / EPISODES_LIST
    episodes = []
    with explaining_damage(str(file)):
        if file.stat().st_size > _MAX_INFO_BYTES:
            raise SourceError(f"{file}: is larger than {_MAX_INFO_BYTES} bytes; it is no list of episodes")
        for text in file.read_text(encoding="utf-8").splitlines():
            line = Line.model_validate_json(text)
            place = {"chunk": line.episode_index // chunk_length, "index": line.episode_index, "camera": camera}
            video_file = EPISODE_VIDEO_FILE.format(**place) if has_videos else None
            episodes.append(Episode(line.episode_index, line.length, EPISODE_DATA_FILE.format(**place), video_file))
    return _in_order(episodes, file)


def _in_order(episodes: list[Episode], where: Path) -> list[Episode]:
    if not episodes:
        raise SourceError(f"{where}: there are no episodes; download the data set again")
    return sorted(episodes, key=lambda episode: episode.index)

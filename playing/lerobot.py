"""Export of a data set to LeRobot version 3, with its true actions or with those that a trained model infers.

Each video becomes an episode with its own MP4 file and table, in the order of splits and names; `info.json` lists the
episodes of each split. The feature `action` is one integer, named `true_action` or `inferred_action`. Rewards and ends
of episodes become `next.reward` and `next.done`. Frames keep their size.

Dimensions: B batch, T frames of an episode, D action-space dimension.
"""

import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dataset.acquisition.readers.lerobot import DATA_FILE, EPISODES_FILE, INFO_FILE, VERSION, VIDEO_FILE
from dataset.acquisition.readers.parquet import import_pyarrow
from dataset.batching import evaluation_keys, in_batches, make_loader
from dataset.splits import SPLITS
from dataset.video import Video
from dataset.video_dataset import VideoDataset
from model.noise import NoNoise
from model.playable import PlayableModel
from playing.simulator import load_simulator
from utils.command import UserError
from utils.configuration import Batching, Configuration
from utils.files import replacing, unfinished_folder
from utils.mp4_writer import Mp4Writer

CAMERA = "observation.image"
TASKS_FILE = "meta/tasks.parquet"
STATISTICS_FILE = "meta/stats.json"
TASK = "play"
FILES_PER_CHUNK = 1000


@dataclass(frozen=True)
class Episode:
    """An episode to export: the first frames of a video, one for each action."""

    split: str
    video: Video
    actions: np.ndarray  # int64 (T,)


def take_true_actions(videos: dict[str, list[Video]]) -> list[Episode]:
    """Return all frames of the videos of each split, with their true actions.

    Raises:
        UserError: a video has no true actions.
    """
    episodes = []
    for split, opened in videos.items():
        for video in opened:
            annotations = video.annotations
            if not annotations.actions_are_known:
                raise UserError(f"{video.path}: has no true actions; give --config to have a trained model infer them")
            episodes.append(Episode(split, video, np.array(annotations.actions)))
    return episodes


def infer_actions(videos: dict[str, list[Video]], config: Configuration, device: torch.device) -> list[Episode]:
    """Return the frames of the videos of each split, with actions inferred by a run's latest checkpoint.

    Actions are the most probable ones of the mean directions, without noise. The action of a frame leads to the frame
    `skip_frames` + 1 later. The last frames have no action and are left out, and so are videos with no other frames.
    `skip_frames` is the evaluation's for the splits val and test, else the training's.

    Raises:
        UserError: there is no checkpoint, or the frames cannot be read or do not fit the configuration.
    """
    model = load_simulator(config, device)[0].model
    episodes = []
    for split, opened in videos.items():
        batching = config.evaluation.batching if split in SPLITS[1:] else config.training.batching
        dataset = VideoDataset(
            opened,
            crop=config.data.crop,
            size=config.model.representation_network.target_input_size,
            observations_count=2,
            skip_frames=batching.skip_frames,
            observation_stacking=batching.observation_stacking,
        )
        lengths = [max(0, video.num_frames - dataset.stride) for video in opened]
        actions = np.split(_most_probable_actions(model, dataset, batching, device), np.cumsum(lengths)[:-1])
        episodes += [Episode(split, *pair) for pair in zip(opened, actions, strict=True) if len(pair[1])]
    return episodes


@torch.inference_mode()
def _most_probable_actions(
    model: PlayableModel, dataset: VideoDataset, batching: Batching, device: torch.device
) -> np.ndarray:
    """Infer the actions between all pairs of observations of a data set, in order: int64 (number of pairs,)."""
    batches = in_batches(evaluation_keys(dataset, 2), batching.batch_size)
    actions = []
    for batch in tqdm(
        make_loader(dataset, batches, batching.num_workers, device), "inferring", len(batches), disable=None
    ):
        inferred = model.infer_actions(batch.to(device).observations(), NoNoise())
        actions.append(inferred.most_probable.flatten().cpu().numpy())  # (B,)
    return np.concatenate(actions)


def export(episodes: Sequence[Episode], directory: Path, frame_rate: float, action_name: str) -> None:
    """Write a LeRobot data set; the folder appears once it is complete.

    Args:
        episodes: the episodes, grouped by split.
        directory: the folder to create.
        frame_rate: frames a second.
        action_name: name of the feature `action`: `true_action` or `inferred_action`.

    Raises:
        UserError: the folder exists, the frames differ in size or have odd sides, or cannot be read or written.
    """
    refuse_existing(directory)
    size = _common_size(episodes)
    with unfinished_folder(directory) as unfinished:
        tables: list[dict[str, np.ndarray]] = []
        pixels: list[np.ndarray] = []
        first_rows = np.cumsum([0, *(len(episode.actions) for episode in episodes)])
        for index, episode in enumerate(tqdm(episodes, "exporting", unit="video", disable=None)):
            tables.append(_frame_table(episode, index, first_rows[index], frame_rate))
            _write_table(unfinished / _place(DATA_FILE, index), tables[-1])
            pixels.append(_write_video(unfinished / _place(VIDEO_FILE, index), episode, frame_rate))
        _write_table(unfinished / _place(EPISODES_FILE, 0), _episode_table(tables, frame_rate))
        _write_tasks(unfinished / TASKS_FILE)
        _write_json(unfinished / STATISTICS_FILE, _statistics(tables, pixels))
        _write_json(unfinished / INFO_FILE, _info(episodes, size, frame_rate, action_name))
        refuse_existing(directory)
        unfinished.rename(directory)


def refuse_existing(directory: Path) -> None:
    """Check that the folder to create does not exist.

    Raises:
        UserError: it does.
    """
    if os.path.lexists(directory):
        raise UserError(f"{directory}: already exists; remove it or choose another --output_directory")


def _common_size(episodes: Sequence[Episode]) -> tuple[int, int]:
    """Return the width and height of all frames.

    Raises:
        UserError: the frames differ in size or have odd sides.
    """
    sizes = {episode.video.frame(0).size: episode.video.path for episode in episodes}
    if len(sizes) > 1:
        ((width, height), path), ((other_width, other_height), other_path), *_ = sizes.items()
        raise UserError(
            f"{path} has frames of {width}x{height} pixels, but {other_path} of {other_width}x{other_height}; a "
            "LeRobot data set has one size: export them separately"
        )
    ((width, height),) = sizes
    if width % 2 or height % 2:
        raise UserError(f"frames of {width}x{height} pixels: a LeRobot data set needs even sides; resize the frames")
    return width, height


def _place(file: str, index: int) -> str:
    """Return the path of an episode's file."""
    chunk, number = divmod(index, FILES_PER_CHUNK)
    return file.format(camera=CAMERA, chunk=chunk, file=number)


def _frame_table(episode: Episode, index: int, first_row: int, frame_rate: float) -> dict[str, np.ndarray]:
    """Return the columns of one episode's table, each (T,)."""
    num_frames = len(episode.actions)
    annotations = episode.video.annotations
    frames = np.arange(num_frames)
    return {
        "action": episode.actions,
        "next.reward": np.array(annotations.rewards[:num_frames], np.float32),
        "next.done": np.array(annotations.dones[:num_frames]),
        "timestamp": (frames / frame_rate).astype(np.float32),
        "frame_index": frames,
        "episode_index": np.full(num_frames, index),
        "index": first_row + frames,
        "task_index": np.zeros(num_frames, np.int64),
    }


def _episode_table(tables: Sequence[dict[str, np.ndarray]], frame_rate: float) -> dict[str, Any]:
    """Return the columns of the table of episodes; each episode fills the files of its own number."""
    indices = np.arange(len(tables))
    lengths = np.array([len(table["index"]) for table in tables])
    ends = np.cumsum(lengths)
    chunks, files = np.divmod(indices, FILES_PER_CHUNK)
    nowhere = np.zeros(len(tables), np.int64)
    return {
        "episode_index": indices,
        "tasks": [[TASK]] * len(tables),
        "length": lengths,
        "dataset_from_index": ends - lengths,
        "dataset_to_index": ends,
        "data/chunk_index": chunks,
        "data/file_index": files,
        f"videos/{CAMERA}/chunk_index": chunks,
        f"videos/{CAMERA}/file_index": files,
        f"videos/{CAMERA}/from_timestamp": np.zeros(len(tables)),
        f"videos/{CAMERA}/to_timestamp": lengths / frame_rate,
        "meta/episodes/chunk_index": nowhere,
        "meta/episodes/file_index": nowhere,
    }


def _write_table(file: Path, columns: dict[str, Any]) -> None:
    pyarrow = import_pyarrow()
    with replacing(file) as stream:
        pyarrow.parquet.write_table(pyarrow.table(columns), stream)


def _write_tasks(file: Path) -> None:
    """Write the only task, with a schema that tells pandas, which LeRobot reads it with, that the text is the index."""
    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy_kind, "metadata": None}
        for name, kind, numpy_kind in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ]
    schema = {"index_columns": ["task"], "column_indexes": [], "columns": columns}
    pyarrow = import_pyarrow()
    table = pyarrow.table({"task_index": [0], "task": [TASK]}).replace_schema_metadata({"pandas": json.dumps(schema)})
    with replacing(file) as stream:
        pyarrow.parquet.write_table(table, stream)


def _write_video(file: Path, episode: Episode, frame_rate: float) -> np.ndarray:
    """Write the frames of an episode as a video.

    Returns:
        (4, 3) in [0, 1]: minimum, maximum, mean and mean square of each colour.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    frames = []
    with closing(Mp4Writer(file, frame_rate)) as writer:
        for index in range(len(episode.actions)):
            pixels = np.asarray(episode.video.frame(index))
            writer.write(pixels)
            values = pixels.reshape(-1, 3) / 255
            frames.append([values.min(axis=0), values.max(axis=0), values.mean(axis=0), (values**2).mean(axis=0)])
    low, high, mean, square = np.array(frames).swapaxes(0, 1)
    return np.stack([low.min(axis=0), high.max(axis=0), mean.mean(axis=0), square.mean(axis=0)])


def _statistics(tables: Sequence[dict[str, np.ndarray]], pixels: Sequence[np.ndarray]) -> dict[str, dict[str, Any]]:
    """Return the statistics of every feature."""
    lengths = [len(table["index"]) for table in tables]
    low, high, mean, square = np.stack(pixels).swapaxes(0, 1)  # each (number of episodes, 3)
    mean, square = (np.average(values, axis=0, weights=lengths) for values in (mean, square))
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    colours = {"min": low.min(axis=0), "max": high.max(axis=0), "mean": mean, "std": deviation}
    statistics = {
        CAMERA: {name: values.reshape(3, 1, 1).tolist() for name, values in colours.items()} | {"count": [sum(lengths)]}
    }
    for name in tables[0]:
        values = np.concatenate([table[name] for table in tables]).astype(np.float64)
        numbers = {"min": values.min(), "max": values.max(), "mean": values.mean(), "std": values.std()}
        statistics[name] = {key: [float(number)] for key, number in numbers.items()} | {"count": [len(values)]}
    return statistics


def _info(episodes: Sequence[Episode], size: tuple[int, int], frame_rate: float, action_name: str) -> dict[str, Any]:
    """Return the contents of `info.json`."""
    width, height = size
    camera = {
        "dtype": "video",
        "shape": [height, width, 3],
        "names": ["height", "width", "channels"],
        "info": {
            "video.height": height,
            "video.width": width,
            "video.codec": "h264",
            "video.pix_fmt": "yuv420p",
            "video.is_depth_map": False,
            "video.fps": _whole(frame_rate),
            "video.channels": 3,
            "has_audio": False,
        },
    }
    numbers = {
        "next.reward": "float32",
        "next.done": "bool",
        "timestamp": "float32",
        **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64"),
    }
    return {
        "codebase_version": VERSION,
        "robot_type": None,
        "total_episodes": len(episodes),
        "total_frames": sum(len(episode.actions) for episode in episodes),
        "total_tasks": 1,
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": _whole(frame_rate),
        "splits": _splits(episodes),
        "data_path": _template(DATA_FILE),
        "video_path": _template(VIDEO_FILE),
        "features": {
            CAMERA: camera,
            "action": {"dtype": "int64", "shape": [1], "names": [action_name]},
            **{name: {"dtype": kind, "shape": [1], "names": None} for name, kind in numbers.items()},
        },
    }


def _splits(episodes: Sequence[Episode]) -> dict[str, str]:
    """Return the range of episodes of each split as `first:end`, `end` excluded."""
    splits = [episode.split for episode in episodes]
    counts = {split: splits.count(split) for split in dict.fromkeys(splits)}
    ends = np.cumsum(list(counts.values())).tolist()
    return {split: f"{end - count}:{end}" for (split, count), end in zip(counts.items(), ends, strict=True)}


def _template(file: str) -> str:
    """Return a path with LeRobot's names of its placeholders."""
    return file.replace("{camera", "{video_key").replace("{chunk:", "{chunk_index:").replace("{file:", "{file_index:")


def _whole(frame_rate: float) -> int | float:
    """Return a frame rate as LeRobot writes it: an int if it is whole."""
    return int(frame_rate) if frame_rate.is_integer() else frame_rate


def _write_json(file: Path, contents: dict[str, Any]) -> None:
    with replacing(file) as stream:
        stream.write(json.dumps(contents, indent=4).encode() + b"\n")

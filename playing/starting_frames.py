"""Starting frames of a game: from a video of the data set, a picture, a video file, or the checkpoint.

Dimensions: S stacked frames in an observation, H x W pixels. A *stack* is uint8 (S, H, W, 3), oldest frame first.
"""

import re
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from dataset.acquisition.readers.pictures import require_bearable_size, upright_pixels
from dataset.acquisition.readers.source import SourceError
from dataset.acquisition.readers.video_file import EXTENSIONS, NoFramesError, VideoFile
from dataset.open import find_videos
from dataset.transforms import FrameTransform
from dataset.video import Video
from dataset.video_dataset import SequenceKey, VideoDataset
from utils.command import UserError, one_line
from utils.configuration import Configuration
from utils.shared_model import STARTING_FRAMES

NUM_STORED = 8
"""Number of starting frames that training stores with a checkpoint."""

SPLITS = ("test", "val")
"""The splits from which starting frames are drawn, in order of preference."""

SECONDS_BEFORE = 2.0
SHORTEST_FRAME = 0.001
"""Seconds of a video that are read before a moment, for the older frames of the stack, and after it."""

StartingFrames = Callable[[np.random.Generator], np.ndarray]
"""Draws a stack."""


def choose_starting_frames(
    config: Configuration, initial_frame: str | None, checkpoint: dict[str, Any]
) -> tuple[StartingFrames, str]:
    """Return a function that draws starting frames, and a description of their source.

    Args:
        config: the run's configuration.
        initial_frame: `picture.png`, `video.mp4@12.5s`, or `video.mp4` to begin at 0; None draws from the data set if
            it exists, else from the frames in the checkpoint.
        checkpoint: the loaded checkpoint.

    Raises:
        UserError: the picture or video cannot be read, or there are no starting frames.
    """
    if initial_frame is not None:
        stack = read_initial_frame(config, initial_frame)
        return (lambda _: stack), initial_frame
    for split in SPLITS:
        try:
            videos = find_videos(config.data, split)
        except UserError:
            continue
        return partial(_of_random_video, config, videos), f"{config.data.data_root} ({split})"
    if STARTING_FRAMES in checkpoint:
        stacks = checkpoint[STARTING_FRAMES].numpy()
        width, height = config.model.representation_network.target_input_size
        if stacks.shape[1:] != (config.evaluation.batching.observation_stacking, height, width, 3):
            raise UserError("the checkpoint's starting frames are of another model; give --initial_frame picture.png")
        return (lambda random: stacks[random.integers(len(stacks))]), "the checkpoint"
    raise UserError(
        f"there is nothing to start from: {config.data.data_root} has no test or validation videos and the checkpoint "
        "no starting frames; give --initial_frame picture.png"
    )


def stored_starting_frames(dataset: VideoDataset) -> np.ndarray:
    """Return up to `NUM_STORED` stacks spread evenly over a data set: uint8 (N, S, H, W, 3)."""
    num_frames = dataset.num_frames
    rows = np.unique(np.linspace(0, num_frames - 1, min(NUM_STORED, num_frames)).astype(int))
    return dataset[[dataset.sequence_at(int(row), 1) for row in rows]].frames


def read_initial_frame(config: Configuration, text: str) -> np.ndarray:
    """Return the stack of a picture, or of a moment in a video file, at the model's frame size.

    Frames as large as those of the data set are cropped and resized like these; others are cropped to the largest
    centred box of the model's aspect ratio. A picture is repeated to fill the stack; a video fills it with the frames
    before the moment.

    Without a moment, a video's first frame is taken.

    Raises:
        UserError: the file cannot be read, or the video is too short.
    """
    path, at, time = text.rpartition("@")
    if not at or Path(text).exists():
        is_video = Path(text).suffix.lower().removeprefix(".") in EXTENSIONS
        picture = _first_frame(Path(text)) if is_video else _open_picture(Path(text))
        return picture_stack(config, picture)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)s?", time)
    if match is None:
        raise UserError(f"--initial_frame {text}: '{time}' is no time; write seconds, such as {path}@12.5s")
    stacking = config.evaluation.batching.observation_stacking
    images = _video_frames(Path(path), float(match[1]), stacking)
    images = [images[0]] * (stacking - len(images)) + images
    return np.stack([_fitted(config, image) for image in images])


def picture_stack(config: Configuration, picture: Image.Image) -> np.ndarray:
    """Return the stack of a picture of any size, cropped, resized and repeated as `read_initial_frame` says."""
    stacking = config.evaluation.batching.observation_stacking
    return np.repeat(_fitted(config, picture)[np.newaxis], stacking, axis=0)


def _of_random_video(config: Configuration, paths: list[Path], random: np.random.Generator) -> np.ndarray:
    """Return the stack of a random frame of a random video."""
    batching = config.evaluation.batching
    video = Video(paths[random.integers(len(paths))])
    dataset = VideoDataset(
        [video],
        crop=config.data.crop,
        size=config.model.representation_network.target_input_size,
        observations_count=1,
        skip_frames=batching.skip_frames,
        observation_stacking=batching.observation_stacking,
    )
    first_frame = int(random.integers(video.num_frames))
    stack: np.ndarray = dataset[[SequenceKey(0, first_frame, 1)]].frames[0]
    return stack


def _open_picture(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            require_bearable_size(path.name, *image.size)
            return Image.fromarray(upright_pixels(image))
    except Exception as error:  # decoders raise exceptions of many kinds for damaged files
        raise UserError(f"--initial_frame {path}: not a picture that can be read: {one_line(error)}") from error


def _first_frame(path: Path) -> Image.Image:
    try:
        return Image.fromarray(next(VideoFile(path, path.name).frames()).pixels)
    except SourceError as error:
        raise UserError(f"--initial_frame {path}: not a video that can be read ({error})") from error


def _video_frames(path: Path, seconds: float, count: int) -> list[Image.Image]:
    """Return up to `count` frames of a video file, ending with the one shown at `seconds`.

    Raises:
        UserError: the file cannot be read, or the video is too short.
    """
    if not path.is_file():
        raise UserError(f"--initial_frame {path}: no such file")
    start = max(0.0, seconds - SECONDS_BEFORE)
    video = VideoFile(path, path.name)
    try:
        last = deque(video.frames(start=start, end=seconds + SHORTEST_FRAME), maxlen=count)
    except NoFramesError as error:
        raise UserError(f"--initial_frame {path}: the video is shorter than {seconds} s") from error
    except SourceError as error:
        raise UserError(f"--initial_frame {path}: not a video that can be read up to {seconds} s ({error})") from error
    return [Image.fromarray(frame.pixels) for frame in last]


def _fitted(config: Configuration, image: Image.Image) -> np.ndarray:
    """Return the pixels uint8 (H, W, 3) of a picture, cropped and resized to the model's frame size."""
    width, height = config.model.representation_network.target_input_size
    if image.size == (config.data.crop[2], config.data.crop[3]):
        return FrameTransform.of(config.data.crop, (width, height))(image)
    return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR))

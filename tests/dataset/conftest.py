"""Small videos whose pixels and annotations tell video and frame: red is the video's number, green the frame's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset.annotations import Annotations
from dataset.video import Video, write_video

WIDTH, HEIGHT = 12, 10


def synthetic_frame(video: int, frame: int) -> np.ndarray:
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    pixels[..., 0] = video
    pixels[..., 1] = frame
    pixels[..., 2] = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    return pixels


@pytest.fixture
def make_videos(tmp_path: Path) -> Callable[..., list[Video]]:
    """Writes videos of the given numbers of frames into one folder and opens them."""

    def make(*lengths: int, folder: str = "train") -> list[Video]:
        for video, length in enumerate(lengths):
            write_video(
                tmp_path / folder / f"{video:05d}",
                [synthetic_frame(video, frame) for frame in range(length)],
                Annotations(
                    actions=[100 * video + frame for frame in range(length)],
                    rewards=[frame / 2 for frame in range(length)],
                    metadata=[{"agent_position": [video, frame]} for frame in range(length)],
                    dones=[frame == length - 1 for frame in range(length)],
                ),
            )
        return [Video(path) for path in sorted((tmp_path / folder).iterdir()) if not path.name.startswith(".")]

    return make

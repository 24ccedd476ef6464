import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.annotations import Annotations
from dataset.video import Video, VideoError, write_video
from dataset.video_dataset import SequenceKey, VideoDataset
from utils.command import UserError

MakeVideos = Callable[..., list[Video]]


def make_dataset(videos: list[Video], **arguments: Any) -> VideoDataset:
    defaults = {"crop": [0, 0, 12, 10], "size": [12, 10], "observations_count": 2}
    return VideoDataset(videos, **{**defaults, **arguments})


def sequences_by_hand(lengths: list[int], observations_count: int, skip_frames: int) -> list[SequenceKey]:
    """docs/method.md#sequences, word for word."""
    return [
        SequenceKey(video, frame, observations_count)
        for video, length in enumerate(lengths)
        for frame in range(length)
        if length - frame >= observations_count + (observations_count - 1) * skip_frames
    ]


def stack_by_hand(first_frame: int, time: int, stride: int, stacking: int) -> list[int]:
    """The frames of one observation, newest first: step back by the stride, staying where there is no frame."""
    frames = [first_frame + time * stride]
    while len(frames) < stacking:
        frames.append(frames[-1] - stride if frames[-1] >= stride else frames[-1])
    return frames


@pytest.mark.parametrize(("observations_count", "skip_frames"), list(itertools.product([1, 2, 3, 5], [0, 1, 3])))
def test_index_search_agrees_with_an_exhaustive_list(
    make_videos: MakeVideos, observations_count: int, skip_frames: int
) -> None:
    lengths = [3, 20, 1, 7, 18, 2, 17]
    dataset = make_dataset(make_videos(*lengths), skip_frames=skip_frames)
    expected = sequences_by_hand(lengths, observations_count, skip_frames)

    assert dataset.num_sequences(observations_count) == len(expected)
    assert [dataset.sequence(index, observations_count) for index in range(len(expected))] == expected
    for index in (-1, len(expected)):
        with pytest.raises(IndexError):
            dataset.sequence(index, observations_count)


def test_rows_number_the_frames_of_all_videos(make_videos: MakeVideos) -> None:
    dataset = make_dataset(make_videos(3, 2, 4))

    assert dataset.num_frames == 9
    assert dataset.frames_ahead().tolist() == [3, 2, 1, 2, 1, 4, 3, 2, 1]
    keys = [dataset.sequence_at(row, 5) for row in range(9)]
    assert keys == [SequenceKey(v, f, 5) for v, length in enumerate([3, 2, 4]) for f in range(length)]


@pytest.mark.parametrize(("stacking", "skip_frames"), list(itertools.product([1, 2, 4], [0, 1, 4])))
def test_samples_agree_with_a_slow_reference(make_videos: MakeVideos, stacking: int, skip_frames: int) -> None:
    dataset = make_dataset(make_videos(14, 17), skip_frames=skip_frames, observation_stacking=stacking)
    stride = skip_frames + 1

    for key in (dataset.sequence(index, 3) for index in range(dataset.num_sequences(3))):
        samples = dataset[[key]]
        times = [key.first_frame + time * stride for time in range(3)]
        assert samples.frames.dtype == np.uint8
        assert samples.frames.shape == (1, 3 + stacking - 1, 10, 12, 3)
        assert (samples.frames[..., 0] == key.video).all()
        for time in range(3):
            newest_first = samples.frames[0, time : time + stacking, 0, 0, 1].tolist()[::-1]
            assert newest_first == stack_by_hand(key.first_frame, time, stride, stacking)
        assert samples.actions.tolist() == [[100 * key.video + frame for frame in times]]
        assert samples.rewards.tolist() == [[frame / 2 for frame in times]]
        assert samples.dones.tolist() == [[frame == [13, 16][key.video] for frame in times]]
        assert samples.positions is not None
        assert samples.positions.tolist() == [[[key.video, frame] for frame in times]]


def test_sequences_are_read_together_as_they_are_alone(make_videos: MakeVideos) -> None:
    dataset = make_dataset(make_videos(14, 17), skip_frames=1, observation_stacking=2)
    keys = [dataset.sequence(index, 3) for index in (20, 0, 7, 0)]

    together = dataset[keys]
    assert together.keys == keys
    for index, alone in enumerate(dataset[[key]] for key in keys):
        for name in ("frames", "actions", "rewards", "dones", "positions"):
            assert np.array_equal(getattr(together, name)[index : index + 1], getattr(alone, name))


def test_types_are_those_of_the_documentation(make_videos: MakeVideos) -> None:
    sample = make_dataset(make_videos(4))[[SequenceKey(0, 1, 2)]]

    assert sample.positions is not None
    assert (sample.actions.dtype, sample.rewards.dtype) == (np.int64, np.float32)
    assert (sample.dones.dtype, sample.positions.dtype) == (np.bool_, np.float32)


def test_positions_come_from_either_key_and_are_nan_elsewhere(tmp_path: Path) -> None:
    metadata: list[dict[str, Any]] = [
        {"state": [1, 2, 3]},
        {"agent_position": [4, 5], "state": [0, 0]},
        {},
        {"state": "up"},
        {"state": [6]},
    ]
    frames = [np.zeros((10, 12, 3), np.uint8)] * 5
    write_video(tmp_path / "video", frames, Annotations([0] * 5, [0.0] * 5, metadata, [False] * 5))
    positions = make_dataset([Video(tmp_path / "video")])[[SequenceKey(0, 0, 5)]].positions

    assert positions is not None
    assert positions[0, :2].tolist() == [[1, 2], [4, 5]]
    assert np.isnan(positions[0, 2:]).all()


def test_positions_that_nobody_knows_are_none(tmp_path: Path) -> None:
    write_video(tmp_path / "video", [np.zeros((10, 12, 3), np.uint8)] * 3)

    assert make_dataset([Video(tmp_path / "video")])[[SequenceKey(0, 0, 3)]].positions is None


def test_frames_are_cropped_and_resized(make_videos: MakeVideos) -> None:
    dataset = make_dataset(make_videos(3), crop=[2, 4, 12, 10], size=[5, 3])

    assert dataset[[SequenceKey(0, 0, 2)]].frames.shape == (1, 2, 3, 5, 3)


def test_short_videos_are_skipped_with_one_warning(make_videos: MakeVideos, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = make_dataset(make_videos(5, 12, 3, 11, 9), observations_count=4, skip_frames=2)

    assert dataset.num_sequences(4) == 3 + 2
    (message,) = capsys.readouterr().out.splitlines()
    assert message.startswith("warning: ")
    assert "3 of 5 videos are too short and skipped (" in message
    assert "3 to 9 frames" in message
    assert "span 10" in message


def test_only_short_videos_are_refused(make_videos: MakeVideos) -> None:
    with pytest.raises(UserError, match=r"all 2 videos are too short: they have 3 to 4 frames, .* span 5"):
        make_dataset(make_videos(4, 3), observations_count=5)


def test_errors_name_the_file_and_the_frame(make_videos: MakeVideos) -> None:
    videos = make_videos(4)
    (videos[0].path / "00002.png").write_bytes(b"torn")

    with pytest.raises(VideoError, match=r"00002\.png"):
        make_dataset(videos)[[SequenceKey(0, 1, 2)]]
    with pytest.raises(UserError, match=r"00000, frame 0: data\.crop"):
        make_dataset(videos, crop=[0, 0, 13, 10])[[SequenceKey(0, 0, 2)]]

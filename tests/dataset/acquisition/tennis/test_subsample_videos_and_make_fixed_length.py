import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset.acquisition.tennis import subsample_videos_and_make_fixed_length
from dataset.acquisition.tennis.subsample_videos_and_make_fixed_length import fixed_length_sequences, subsample_dataset
from dataset.splits import SPLITS, find_split_videos
from dataset.video import Video
from tests.command import Command


@pytest.fixture
def data_root(make_videos: Callable[..., list[Video]]) -> Path:
    """Videos of 9 and 4 frames to train on, of 10, 5 and 12 to validate on, of 13 to test on."""
    make_videos(9, 4, folder="data/train")
    make_videos(10, 5, 12, folder="data/val")
    return make_videos(13, folder="data/test")[0].path.parents[1]


def frames(root: Path) -> dict[str, list[list[tuple[int, int]]]]:
    """The number of its original video and its frame, for every frame of every video of every split."""
    return {split: [frames_of(Video(path)) for path in find_split_videos(root, split)] for split in SPLITS}


def frames_of(video: Video) -> list[tuple[int, int]]:
    pixels = [np.asarray(video.frame(index))[0, 0] for index in range(len(video))]
    return [(int(red), int(green)) for red, green, _ in pixels]


@pytest.mark.parametrize(
    ("num_frames", "num_sequences"), [(75, 0), (76, 1), (80, 1), (155, 1), (156, 2), (160, 2), (1000, 12)]
)
def test_every_fifth_frame_in_sequences_of_sixteen(num_frames: int, num_sequences: int) -> None:
    kept = list(range(0, num_frames, 5))
    sequences = fixed_length_sequences(num_frames)
    assert [list(sequence) for sequence in sequences] == [kept[16 * i : 16 * i + 16] for i in range(num_sequences)]
    assert all(len(sequence) == 16 for sequence in sequences)


def test_evaluation_splits_are_subsampled_and_the_training_split_is_kept(data_root: Path, tmp_path: Path) -> None:
    counts = subsample_dataset(data_root, tmp_path / "out", frame_step=2, length=3)
    assert counts == {"train": 2, "val": 4, "test": 2}
    assert frames(tmp_path / "out") == {
        "train": [[(0, frame) for frame in range(9)], [(1, frame) for frame in range(4)]],
        "val": [
            [(0, 0), (0, 2), (0, 4)],
            [(1, 0), (1, 2), (1, 4)],
            [(2, 0), (2, 2), (2, 4)],
            [(2, 6), (2, 8), (2, 10)],
        ],
        "test": [[(0, 0), (0, 2), (0, 4)], [(0, 6), (0, 8), (0, 10)]],
    }
    assert [path.name for path in find_split_videos(tmp_path / "out", "val")] == ["00000", "00001", "00002", "00003"]


def test_annotations_of_single_steps_become_unknown(data_root: Path, tmp_path: Path) -> None:
    subsample_dataset(data_root, tmp_path / "out", frame_step=2, length=3)
    assert Video(tmp_path / "out/train/00000").annotations.actions_are_known
    assert not Video(tmp_path / "out/val/00000").annotations.actions_are_known


def test_only_missing_videos_are_written(data_root: Path, tmp_path: Path) -> None:
    subsample_dataset(data_root, tmp_path / "out", frame_step=2, length=3)
    before = frames(tmp_path / "out")
    shutil.rmtree(tmp_path / "out/val/00001")
    (tmp_path / "out/val/.00001.unfinished").mkdir()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/0*")}
    subsample_dataset(data_root, tmp_path / "out", frame_step=2, length=3)
    assert frames(tmp_path / "out") == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_command(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--data_root", str(data_root), "--output_directory", str(tmp_path / "out")]
    command = Command(subsample_videos_and_make_fixed_length, tmp_path, monkeypatch, capsys, *common)
    code, out, _ = command("--splits", "test", "--frame_step", "4", "--length", "2")
    assert (code, out) == (0, f"2 train, 3 val, 2 test videos in {tmp_path / 'out'}\n")
    assert frames(tmp_path / "out")["test"] == [[(0, 0), (0, 4)], [(0, 8), (0, 12)]]
    code, _, err = command("--output_directory", str(tmp_path / "other"))
    assert code == 2
    assert err == f"error: {data_root / 'val'}: no video has 16 frames 5 apart; lower --length or --frame_step\n"

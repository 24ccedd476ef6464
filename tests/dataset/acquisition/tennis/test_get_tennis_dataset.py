import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset.acquisition.tennis import download
from dataset.splits import SPLITS, find_split_videos
from dataset.video import Video
from tests.command import files
from tests.dataset.acquisition.tennis.numbered_match import QUARTERS, Label, label_of

SCRIPT = Path(download.__file__).parents[3] / "get_tennis_dataset.sh"

SEGMENT_SECONDS = "4.7"
"""The next keyframe is frame 120: every match has a segment of 120 frames and one of 80."""

CLIPS = [
    ("second_00000.mp4", 10, 100, 0),
    ("second_00001.mp4", 78, 79, 0),
    ("first_00001.mp4", 2, 5, 3),
    ("first_00000.mp4", 30, 31, 2),
    ("first_00001.mp4", 0, 79, 1),
]
"""Segment, first frame, last frame, quarter: rows in no order, some overlapping."""

SPLITS_TABLE = "sequence,split\n00004,train\n00003,validation\n00000,train\n00001,test\n00002,train\n"

DATA_SET = {
    "train": [
        [Label(2, 0, 198), Label(2, 0, 199)],
        [Label(1, 2, 30), Label(1, 2, 31)],
        [Label(1, 3, frame) for frame in range(122, 126)],
    ],
    "val": [[Label(2, 0, frame) for frame in range(10, 90, 5)]],
    "test": [[Label(1, 1, frame) for frame in range(120, 200, 5)]],
}


def run_script(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": sys.executable}
    return subprocess.run(
        [SCRIPT, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def write_tables(folder: Path) -> None:
    rows = ["index,original_filename,begin_frame,end_frame,top,left,bottom,right"]
    for index, (segment, begin, end, quarter) in enumerate(CLIPS):
        left, top, right, bottom = QUARTERS[quarter]
        rows.append(f"{index},{segment},{begin},{end},{top},{left},{bottom},{right}")
    (folder / "annotations.csv").write_text("\n".join(rows) + "\n")
    (folder / "splits.csv").write_text(SPLITS_TABLE)


def labels(root: Path) -> dict[str, list[list[Label]]]:
    videos = {split: map(Video, find_split_videos(root, split)) for split in SPLITS}
    return {
        split: [[label_of(video.frame(index)) for index in range(len(video))] for video in found]
        for split, found in videos.items()
    }


def test_from_the_web_to_a_data_set(matches: Path, serve: Callable[[Path], str], tmp_path: Path) -> None:
    web = tmp_path / "web"
    web.mkdir()
    shutil.copy(matches / "first.mp4", web)
    write_tables(web)
    address = serve(web)
    sources = ["--annotations", address]
    for name in ("first", "second"):
        sources += ["--match", f"{name}={address}/{name}.mp4"]
    command = [*sources, "--segment_seconds", SEGMENT_SECONDS, "--target_size", "96", "64", "my data/tennis"]
    data_set, work = tmp_path / "my data/tennis", tmp_path / "my data/tennis_work"

    dead_link = run_script(tmp_path, *command)
    assert dead_link.returncode == 2
    *_, message = dead_link.stderr.splitlines()
    assert message.startswith(f"error: {address}/second.mp4: cannot be downloaded: ")
    assert "put the match at my data/tennis_work/matches/second.mp4 yourself" in message
    assert not data_set.exists()

    shutil.copy(matches / "second.mp4", work / "matches")
    completed = run_script(tmp_path, *command)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.endswith("3 train, 1 val, 1 test videos in my data/tennis\n")
    assert labels(data_set) == DATA_SET
    assert Video(data_set / "test/00000").frame(0).size == (96, 64)

    finished = files(data_set)
    shutil.rmtree(data_set / "val/00000")
    shutil.rmtree(data_set / "train/00001")
    shutil.rmtree(web)
    assert run_script(tmp_path, *command).returncode == 0
    assert files(data_set) == finished


def test_help_tells_the_options(tmp_path: Path) -> None:
    result = run_script(tmp_path, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    for option in ("--annotations URL_OR_FOLDER", "--match", "--format", "--segment_seconds", "OUTPUT_DIRECTORY"):
        assert option in result.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--faster"], "unknown option --faster"),
        (["--match"], "--match needs a value"),
        (["--target_size", "256"], "--target_size needs two values"),
        (["one", "two"], "more than one OUTPUT_DIRECTORY: one and two"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run_script(tmp_path, *arguments)
    assert (result.returncode, result.stderr) == (2, f"error: {message}; see --help\n")
    assert not list(tmp_path.iterdir())


def test_without_annotations_it_says_where_they_go(tmp_path: Path) -> None:
    result = run_script(tmp_path)
    assert result.returncode == 2
    assert result.stderr == (
        "error: data/tennis_v4_256_ours_work/annotations/annotations.csv: missing; put it there, or give "
        "--annotations the address where it is\n"
    )

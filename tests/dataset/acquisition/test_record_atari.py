import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from dataset.acquisition import record_atari
from dataset.acquisition.atari_players import BreakoutPlayer
from dataset.acquisition.atari_recording import Camera, RecordingOptions, describe, record, recording_of
from dataset.acquisition.record_atari import parse_arguments
from dataset.video import Video
from utils.command import UserError, run_command

REPOSITORY = Path(record_atari.__file__).parents[2]

RECORDING = RecordingOptions(
    game="breakout",
    train_videos=2,
    val_videos=1,
    test_videos=1,
    video_length=60,
    frame_skip=4,
    crop=(0, 0, 160, 210),
    target_size=(160, 208),
    seed=0,
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("breakout")
    assert record(RECORDING, directory, processes=1) == 4
    return directory


@pytest.fixture(scope="module")
def videos(recorded: Path) -> list[Video]:
    return [Video(recorded / split / f"{index:05d}") for split, index in RECORDING.videos()]


def contents(directory: Path) -> dict[Path, bytes]:
    return {file.relative_to(directory): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def options(directory: Path | str, *more: str) -> list[str]:
    counts = ["--train_videos", "8", "--val_videos", "0", "--test_videos", "0", "--video_length", "20"]
    return ["--game", "breakout", "--output_directory", str(directory), *counts, *more]


def paddle_x(video: Video) -> np.ndarray:
    return np.array([metadata["agent_position"][0] for metadata in video.annotations.metadata])


def paddle_left_end(frame: np.ndarray) -> int | None:
    """The Breakout evaluation's rule: a run of more than 11 paddle-coloured pixels in the paddle's row."""
    row = frame[math.floor(188 / 208 * len(frame))] / 255
    low, high = np.array([100, 72, 72]) / 255 - 0.15, np.array([200, 72, 72]) / 255 + 0.15
    x = 0
    for is_paddle, run in groupby(((low <= row) & (row <= high)).all(axis=1)):
        length = len(list(run))
        if is_paddle and length > 11:
            return x
        x += length
    return None


def test_layout(recorded: Path, videos: list[Video]) -> None:
    visible = {path.name for path in recorded.iterdir() if not path.name.startswith(".")}
    assert visible == {"train", "val", "test", "recording.json"}
    assert {path.name for path in (recorded / "train").iterdir()} == {"00000", "00001"}
    assert all(len(video) == 60 and video.frame(0).size == (160, 208) for video in videos)
    assert len({(video.path / "annotations.json").read_bytes() for video in videos}) == 4


def test_agent_position_is_where_the_colour_rule_sees_the_paddle(videos: list[Video]) -> None:
    for video in videos:
        seen = [paddle_left_end(np.asarray(video.frame(index))) for index in range(len(video))]
        assert seen == [x - 8 for x in paddle_x(video)]
        assert {metadata["agent_position"][1] for metadata in video.annotations.metadata} == {192 * 208 / 210}


def test_actions_can_be_read_off_the_movement(videos: list[Video]) -> None:
    actions = np.concatenate([video.annotations.actions[:-1] for video in videos])
    movement = np.concatenate([np.diff(paddle_x(video)) for video in videos])
    comes_off_the_right_wall = np.concatenate([paddle_x(video)[:-1] for video in videos]) == BreakoutPlayer.RIGHTMOST
    read = np.select([movement < -6, movement > 6], [1, 2], default=0)
    assert (read == actions)[~comes_off_the_right_wall].mean() > 0.99
    assert (read == actions).mean() > 0.94


def test_some_moves_are_cut_short_by_either_wall(videos: list[Video]) -> None:
    places = np.concatenate([paddle_x(video) for video in videos])
    assert (places.min(), places.max()) == (BreakoutPlayer.LEFTMOST, BreakoutPlayer.RIGHTMOST)


def test_actions_are_about_equally_frequent(videos: list[Video]) -> None:
    actions = np.concatenate([video.annotations.actions for video in videos])
    assert (np.bincount(actions, minlength=3) / len(actions) > 0.2).all()


def test_bricks_are_hit_and_the_end_of_a_game_is_marked(tmp_path: Path) -> None:
    record(replace(RECORDING, train_videos=0, val_videos=0, frame_skip=40), tmp_path, processes=1)
    video = Video(tmp_path / "test/00000")
    assert sum(video.annotations.rewards) > 0
    ends = np.flatnonzero(video.annotations.dones)
    assert 0 < len(ends) < 20


def test_data_depend_neither_on_processes_nor_on_interruptions(tmp_path: Path) -> None:
    interrupted, whole = tmp_path / "interrupted", tmp_path / "whole"
    command = [sys.executable, "-m", "dataset.acquisition.record_atari", *options(interrupted, "--processes", "2")]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    while not list(interrupted.glob("train/*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert not list(interrupted.rglob("*.unfinished"))

    recording = recording_of(parse_arguments(options(interrupted)))
    num_finished = len(list(interrupted.glob("train/*")))
    assert record(recording, interrupted, processes=1) == 8 - num_finished > 0
    record(recording, whole, processes=1)
    assert contents(interrupted) == contents(whole)


def test_two_processes_record_the_same_as_one(recorded: Path, tmp_path: Path) -> None:
    assert record(RECORDING, tmp_path, processes=2) == 4
    assert contents(tmp_path) == contents(recorded)
    assert record(RECORDING, tmp_path, processes=2) == 0


def test_other_games_get_random_actions(tmp_path: Path) -> None:
    recording = recording_of(parse_arguments(options(tmp_path, "--game", "pong", "--train_videos", "1")))
    assert recording.target_size == (160, 208)
    record(recording, tmp_path, processes=1)
    annotations = Video(tmp_path / "train/00000").annotations
    assert set(annotations.actions) <= set(range(6))
    assert len(set(annotations.actions)) > 1
    assert annotations.metadata == [{}] * 20
    assert "noop" in describe(recording, tmp_path)


def test_camera_crops_then_resizes() -> None:
    screen = np.zeros((210, 160, 3), np.uint8)
    screen[80:84, 0:2] = 200
    camera = Camera((0, 80, 160, 208), (80, 64))
    frame = np.asarray(camera.capture(screen))
    assert frame.shape == (64, 80, 3)
    assert (frame[:2, 0] == 200).all()
    assert frame.sum() == frame[:2, 0].sum()
    assert camera.locate((16, 192)) == [8, 56]


def test_default_size_is_the_box_rounded_down() -> None:
    recording = recording_of(parse_arguments(options("unused", "--crop", "0", "80", "150", "208")))
    assert recording.target_size == (144, 128)


@pytest.mark.parametrize(
    ("bad_options", "message"),
    [
        (["--game", "brekout"], "did you mean breakout"),
        (["--game", "xyzzy"], "known are adventure"),
        (["--crop", "0", "0", "161", "210"], "R <= 160"),
        (["--crop", "10", "0", "10", "210"], "L < R"),
        (["--crop", "0", "-1", "160", "210"], "0 <= T"),
        (["--crop", "0", "0", "15", "210"], "multiples of 16"),
        (["--target_size", "84", "84"], "84x84"),
        (["--train_videos", "0"], "no videos"),
    ],
)
def test_impossible_options_are_refused(bad_options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recording_of(parse_arguments(options("unused", *bad_options)))


@pytest.mark.parametrize(
    "bad_options", [["--train_videos", "-1"], ["--video_length", "0"], ["--target_size", "0", "16"]]
)
def test_impossible_counts_are_refused(bad_options: list[str]) -> None:
    with pytest.raises(UserError, match=r"not a whole number of at least \d; see --help"):
        parse_arguments(options("unused", *bad_options))


def test_a_recording_with_other_options_is_left_alone(recorded: Path) -> None:
    before = contents(recorded)
    with pytest.raises(UserError, match="was recorded with --crop 0 0 160 210, --seed 0;"):
        record(replace(RECORDING, seed=1, crop=(0, 0, 160, 200)), recorded, processes=1)
    assert contents(recorded) == before


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UserError, match="holds files but no recording"):
        record(RECORDING, tmp_path, processes=1)
    for path in (file, file / "below"):
        with pytest.raises(UserError, match="not a usable folder"):
            record(RECORDING, path, processes=1)
    (tmp_path / "recording.json").write_text("[1")
    with pytest.raises(UserError, match="cannot be read"):
        record(RECORDING, tmp_path, processes=1)
    assert file.read_text() == "mine"


def test_mistakes_end_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["record_atari", *options(tmp_path / "new", "--game", "pongg")])
    with pytest.raises(SystemExit) as exit_:
        run_command(record_atari.main)
    assert exit_.value.code == 2
    assert capsys.readouterr().err == "error: --game pongg: unknown game; did you mean pong?\n"
    assert not (tmp_path / "new").exists()


def test_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["record_atari", *options(tmp_path, "--train_videos", "1", "--processes", "1")])
    record_atari.main()
    output = capsys.readouterr().out
    assert f"1 videos, 20 frames of 160x208 in {tmp_path}" in output
    assert "0 stay" in output

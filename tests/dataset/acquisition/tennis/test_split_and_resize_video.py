import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset.acquisition.tennis import split_and_resize_video
from dataset.acquisition.tennis.split_and_resize_video import split_video
from tests.command import Command, files
from tests.dataset.acquisition.tennis.numbered_match import NUM_FRAMES, SEGMENT_SECONDS, Label, labels_of, read_frames
from utils.command import UserError
from utils.ffmpeg_program import ffmpeg_command

SEGMENTS = [f"first_{number:05d}.mp4" for number in range(4)]


def test_segments_are_the_match_without_encoding_it_anew(matches: Path, segments: Path) -> None:
    parts = [read_frames(segments / name) for name in SEGMENTS]
    assert [len(part) for part in parts] == [60, 60, 60, 20]
    assert np.array_equal(np.concatenate(parts), read_frames(matches / "first.mp4"))
    assert sorted(path.name for path in segments.glob("first*")) == SEGMENTS


def test_resizing_keeps_every_frame(matches: Path, tmp_path: Path) -> None:
    split_video(matches / "second.mp4", tmp_path, SEGMENT_SECONDS, target_size=(128, 96))
    frames = np.concatenate([read_frames(path, 128, 96) for path in sorted(tmp_path.iterdir())])
    assert labels_of(frames, quarter=3) == [Label(2, 3, frame) for frame in range(NUM_FRAMES)]


def test_a_match_without_all_its_segments_is_cut_again(
    matches: Path, segments: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace
    moved: list[Path] = []

    def interrupted(path: Path, target: Path) -> Path:
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(target)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        split_video(matches / "first.mp4", tmp_path, SEGMENT_SECONDS)
    assert sorted(path.name for path in tmp_path.iterdir()) == SEGMENTS[1:]

    monkeypatch.undo()
    split_video(matches / "first.mp4", tmp_path, SEGMENT_SECONDS)
    assert files(tmp_path) == {tmp_path / name: (segments / name).read_bytes() for name in SEGMENTS}


def test_a_finished_match_is_left_alone(matches: Path, tmp_path: Path) -> None:
    (tmp_path / "first_00000.mp4").write_bytes(b"finished")
    split_video(matches / "first.mp4", tmp_path, SEGMENT_SECONDS)
    assert files(tmp_path) == {tmp_path / "first_00000.mp4": b"finished"}


def test_names_with_spaces_percent_signs_and_colons(
    matches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    match = Path("one: 100% Ña.mp4")
    shutil.copy(matches / "first.mp4", match)
    split_video(match, Path("out:50% off"), 3600)
    assert np.array_equal(read_frames(Path("out:50% off/one: 100% Ña_00000.mp4")), read_frames(match))


def test_a_file_that_is_no_video_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"<html>gone</html>")
    with pytest.raises(UserError, match=r"broken\.mp4: cannot be cut: .*Invalid data.*; remove the match and download"):
        split_video(broken, tmp_path / "segments")
    assert list((tmp_path / "segments").iterdir()) == []


@pytest.mark.parametrize(
    ("task", "failure"),
    [("segment_time", r"/first\.mp4: cannot be cut"), ("scale", r"/first_.*\.mp4: cannot be resized")],
)
def test_an_ffmpeg_that_writes_nothing_is_told(
    matches: Path, tmp_path: Path, fake_ffmpeg: Callable[[str], None], task: str, failure: str
) -> None:
    fake_ffmpeg(f'case "$*" in *{task}*) exit 0;; esac; exec {ffmpeg_command()} "$@"')
    with pytest.raises(UserError, match=f"{failure}: no reason given; remove the match and download it again"):
        split_video(matches / "first.mp4", tmp_path / "segments", target_size=(128, 96))
    assert list((tmp_path / "segments").iterdir()) == []


def test_command(
    matches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ["--output_directory", str(tmp_path / "out")]
    command = Command(split_and_resize_video, tmp_path, monkeypatch, capsys, *output)
    assert command("--video_directory", str(matches), "--segment_seconds", "3.7")[0] == 0
    names = [f"{match}_{number:05d}.mp4" for match in ("first", "second") for number in range(2)]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.mp4")) == names
    assert "holds no *.mp4" in command.refused("--video_directory", str(tmp_path))
    assert "even" in command.refused("--video_directory", str(matches), "--target_size", "33", "32")

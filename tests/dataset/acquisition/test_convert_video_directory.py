import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dataset.acquisition import convert_video_directory
from dataset.video import Video
from tests.command import Command
from tests.dataset.acquisition.clips import encode, numbered

pytestmark = pytest.mark.usefixtures("each_ffmpeg")

REPOSITORY = Path(convert_video_directory.__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "videos" / "more").mkdir(parents=True)
    encode(tmp_path / "videos" / "b.mp4", numbered(20), frame_rate=20)
    encode(tmp_path / "videos" / "more" / "ä b.MP4", numbered(6))
    return tmp_path


@pytest.fixture
def command(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(convert_video_directory, folder, monkeypatch, capsys, *common(folder), "--processes", "1")


def common(folder: Path) -> tuple[str, ...]:
    directories = ("--video_directory", str(folder / "videos"), "--output_directory", str(folder / "out"))
    return (*directories, "--target_size", "16", "32")


def test_a_folder_becomes_a_data_set(folder: Path, command: Command) -> None:
    code, out, _ = command()
    assert code == 0
    assert out == f"2 videos, 16 frames of 16x32 in {folder / 'out'}\n"
    assert [len(Video(folder / "out" / name)) for name in ("00000", "00001")] == [10, 6]
    assert Video(folder / "out/00000").frame(0).size == (16, 32)


def test_every_option_has_its_effect(folder: Path, command: Command) -> None:
    encode(folder / "videos/c.avi", numbered(10), "-c:v", "mpeg4", "-q:v", "1")
    options = "--fps all --video_extension all --crop 0 0 16 16 --keep_aspect pad --start 0.2 --end 0.8 --max_frames 5"
    code, out, _ = command(*options.split(), "--detect_cuts", "--split", "0.34", "0.33", "0.33")
    assert code == 0
    assert out.startswith("3 videos, 14 frames of 16x32 in ")
    lengths = {split: len(Video(folder / "out" / split / "00000_000")) for split in ("train", "val", "test")}
    assert lengths == {"train": 5, "val": 5, "test": 4}
    rows = np.asarray(Video(folder / "out/train/00000_000").frame(0)).max(axis=(1, 2))
    assert list(np.flatnonzero(rows)) == list(range(8, 24))


def test_unusable_files_are_named_and_skipped(folder: Path, command: Command) -> None:
    (folder / "videos/a.mp4").touch()
    (folder / "videos/z.mp4").write_text("no video")
    for _ in range(2):
        code, out, _ = command()
        assert code == 3
        summary, *skipped = out.splitlines()
        assert summary.startswith("2 videos, 16 frames")
        assert skipped[0] == "skipped a.mp4: is empty"
        assert skipped[1].startswith("skipped z.mp4: holds no video that ffmpeg can read (")
    assert {path.name for path in (folder / "out").glob("0*")} == {"00001", "00002"}


def test_a_name_that_is_not_text_is_converted_and_told(folder: Path, command: Command) -> None:
    for name in (b"c\xff.mp4", b"d%05d\n.mp4"):
        shutil.copy(folder / "videos/b.mp4", os.fsdecode(bytes(folder) + b"/videos/" + name))
    Path(os.fsdecode(bytes(folder) + b"/videos/\xfe.mp4")).touch()
    code, out, err = command()
    assert code == 3, err
    assert out.startswith("4 videos, 36 frames")
    assert "skipped \\xfe.mp4: is empty" in out


def test_a_truncated_file_is_kept_with_a_warning(folder: Path, command: Command) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 64, 3), np.uint8)
    file = encode(folder / "videos/b.mp4", noise, "-c:v", "libx264", "-g", "1", "-movflags", "faststart")
    file.write_bytes(file.read_bytes()[: -file.stat().st_size // 4])
    code, out, _ = command()
    assert code == 3
    assert "kept the intact frames of b.mp4: damaged or incomplete: " in out
    assert 5 < len(Video(folder / "out/00000")) < 20


def test_mistakes_end_in_one_line(folder: Path, command: Command) -> None:
    assert "no *.webm in it or its direct sub-folders; found *.MP4, *.mp4" in command.refused(
        "--video_extension", "webm"
    )
    assert "there is no such file or folder" in command.refused("--video_directory", str(folder / "absent"))
    assert "add up to 1" in command.refused("--split", "0.5", "0.1", "0.1")
    assert "is no box" in command.refused("--crop", "9", "0", "8", "8")
    assert "--fps" in command.refused("--fps", "0")
    (folder / "videos" / "b.mp4").unlink()
    (folder / "videos" / "more" / "ä b.MP4").unlink()
    assert "no video file in it" in command.refused("--video_extension", "all")


def test_ctrl_c_ends_in_order_and_the_same_command_continues(folder: Path) -> None:
    for name in "cdef":
        encode(folder / f"videos/{name}.mp4", numbered(40, 320, 240), frame_rate=1)
    arguments = [sys.executable, "-m", "dataset.acquisition.convert_video_directory", *common(folder)]
    arguments += ["--fps", "10", "--processes", "2"]
    process = subprocess.Popen(arguments, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list((folder / "out").glob("0*")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
    finished = list((folder / "out").glob("0*"))
    assert 0 < len(finished) < 6
    assert not list((folder / "out").glob("*.unfinished"))

    subprocess.run(arguments, cwd=REPOSITORY, check=True, capture_output=True)
    lengths = [len(Video(folder / "out" / f"{number:05d}")) for number in range(6)]
    assert lengths == [10, 400, 400, 400, 400, 6]

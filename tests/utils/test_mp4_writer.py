import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from utils.command import UserError
from utils.mp4_writer import Mp4Writer

pytestmark = pytest.mark.usefixtures("each_ffmpeg")

FRAME = np.full((32, 48, 3), (200, 60, 20), np.uint8)


def write(path: Path, num_frames: int = 1, frame_rate: float = 10) -> None:
    with closing(Mp4Writer(path, frame_rate)) as writer:
        for _ in range(num_frames):
            writer.write(FRAME)


def test_frames_become_a_video(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", num_frames=5, frame_rate=12.5)
    reader = imageio_ffmpeg.read_frames(tmp_path / "a.mp4")
    meta = next(reader)
    assert (meta["size"], meta["fps"], meta["codec"]) == ((48, 32), 12.5, "h264")
    frames = [np.frombuffer(pixels, np.uint8).reshape(FRAME.shape) for pixels in reader]
    assert len(frames) == 5
    assert all(np.abs(frame.astype(int) - FRAME).max() < 12 for frame in frames)


@pytest.mark.parametrize("folder", ["a:b", "%05d", "-y", "a 'b\"", "f" * 255, os.fsdecode(b"\xff")])
def test_a_folder_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(folder).mkdir()
    write(Path(folder, "a:b %d.mp4"))
    assert Path(folder, "a:b %d.mp4").stat().st_size


def test_without_frames_there_is_no_file(tmp_path: Path) -> None:
    Mp4Writer(tmp_path / "a.mp4", 10).close()
    assert not (tmp_path / "a.mp4").exists()


def test_a_video_in_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing/a\.mp4: ffmpeg could not write it \(No such file or directory\)"):
        write(tmp_path / "missing" / "a.mp4")


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"a\.mp4: ffmpeg could not write it \(File exists\)"):
        write(tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("cat > /dev/null", "no reason given"),
        ("exit 0", "no reason given"),
        ("echo 'The disk\nis full' >&2; exit 1", "is full"),
    ],
)
def test_an_ffmpeg_that_writes_nothing_is_told(
    tmp_path: Path, fake_ffmpeg: Callable[[str], None], script: str, reason: str
) -> None:
    fake_ffmpeg(script)
    with pytest.raises(UserError, match=rf"a\.mp4: ffmpeg could not write it \({reason}\)"):
        write(tmp_path / "a.mp4", num_frames=100)
    assert not (tmp_path / "a.mp4").exists()


def test_an_ffmpeg_that_ends_early_is_told(tmp_path: Path, fake_ffmpeg: Callable[[str], None]) -> None:
    fake_ffmpeg(f"echo part > {tmp_path}/a.mp4")
    with pytest.raises(UserError, match=r"a\.mp4: ffmpeg could not write it \(it ended before the last frame\)"):
        write(tmp_path / "a.mp4", num_frames=100)
    assert (tmp_path / "a.mp4").read_text() == "part\n"

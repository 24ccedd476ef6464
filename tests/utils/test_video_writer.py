from contextlib import closing
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from utils.command import UserError
from utils.video_writer import VideoWriter, ffmpeg_command

FRAME = np.full((32, 48, 3), (200, 60, 20), np.uint8)


def test_frames_become_a_video(tmp_path: Path) -> None:
    with closing(VideoWriter(tmp_path / "a.mp4", 12.5)) as writer:
        for _ in range(5):
            writer.write(FRAME)
    reader = imageio_ffmpeg.read_frames(tmp_path / "a.mp4")
    meta = next(reader)
    assert (meta["size"], meta["fps"], meta["codec"]) == ((48, 32), 12.5, "h264")
    frames = [np.frombuffer(pixels, np.uint8).reshape(FRAME.shape) for pixels in reader]
    assert len(frames) == 5
    assert all(np.abs(frame.astype(int) - FRAME).max() < 12 for frame in frames)


def test_without_frames_there_is_no_file(tmp_path: Path) -> None:
    VideoWriter(tmp_path / "a.mp4", 10).close()
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.parametrize("num_frames", [1, 2000])
def test_a_video_that_cannot_be_written(tmp_path: Path, num_frames: int) -> None:
    writer = VideoWriter(tmp_path / "missing" / "a.mp4", 10)

    def write() -> None:
        for _ in range(num_frames):
            writer.write(FRAME)
        writer.close()

    with pytest.raises(UserError, match=r"missing/a\.mp4: ffmpeg could not write it \(.*No such file or directory\)"):
        write()


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"mine")
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    writer.write(FRAME)
    with pytest.raises(UserError, match="could not write it"):
        writer.close()
    assert (tmp_path / "a.mp4").read_bytes() == b"mine"


def test_the_ffmpeg_of_the_system_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "/system/ffmpeg")
    assert ffmpeg_command() == "/system/ffmpeg"
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert Path(ffmpeg_command()).is_file()

    def missing() -> str:
        raise RuntimeError("no ffmpeg")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    with pytest.raises(UserError, match="ffmpeg is not installed; install it"):
        ffmpeg_command()

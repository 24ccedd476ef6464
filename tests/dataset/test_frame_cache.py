import multiprocessing
import os
import shutil
import signal
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from dataset.frame_cache import DecodedFrames, FrameReader, open_frames
from dataset.transforms import FrameTransform
from dataset.video import Video, VideoError
from utils.command import UserError

MakeVideos = Callable[..., list[Video]]
TRANSFORM = FrameTransform.of([2, 0, 12, 10], [6, 5])
FORK = multiprocessing.get_context("fork")


def read_all(reader: FrameReader, videos: list[Video]) -> np.ndarray:
    return reader.read(np.arange(sum(video.num_frames for video in videos)))


def decode_all(videos: list[Video]) -> np.ndarray:
    return read_all(DecodedFrames(videos, TRANSFORM), videos)


def cache_files(videos: list[Video]) -> list[Path]:
    return sorted((videos[0].path.parent / ".cache").glob("*.frames"))


def rewrite(video: Video, frame: int) -> None:
    """Replace a frame by one of another video, as another tool might: another time of modification, the same name."""
    path = video.path / f"{frame:05d}.png"
    modified = path.stat().st_mtime_ns
    shutil.copyfile(video.path.with_name("00001") / "00000.png", path)
    os.utime(path, ns=(modified + 1, modified + 1))


@pytest.fixture
def decoded_frames(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], int]:
    """Counts the frames decoded by this process and its children."""
    log = tmp_path / "decoded.log"
    log.touch()
    decode = Video.frame

    def logged(self: Video, index: int) -> object:
        with log.open("a") as file:
            file.write(".")
        return decode(self, index)

    monkeypatch.setattr(Video, "frame", logged)
    return lambda: log.stat().st_size


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_every_cache_gives_the_same_frames(make_videos: MakeVideos, cache: Literal["none", "memory", "disk"]) -> None:
    videos = make_videos(40, 3, 21)
    expected = np.stack([TRANSFORM(video.frame(index)) for video in videos for index in range(video.num_frames)])
    reader = open_frames(videos, TRANSFORM, cache)

    assert np.array_equal(read_all(reader, videos), expected)
    rows = np.array([63, 0, 0, 41])
    assert np.array_equal(reader.read(rows), expected[rows])


def test_a_second_run_maps_the_file_of_the_first(make_videos: MakeVideos, decoded_frames: Callable[[], int]) -> None:
    videos = make_videos(5, 4)

    for _ in range(2):
        open_frames(videos, TRANSFORM, "disk")
        assert decoded_frames() == 9
    assert len(cache_files(videos)) == 1


def test_changed_frames_replace_the_file(make_videos: MakeVideos) -> None:
    videos = make_videos(5, 4)
    before = open_frames(videos, TRANSFORM, "disk")
    kept = read_all(before, videos)
    rewrite(videos[0], 3)
    after = open_frames(videos, TRANSFORM, "disk")

    assert not np.array_equal(read_all(after, videos), kept)
    assert np.array_equal(read_all(after, videos), decode_all(videos))
    assert np.array_equal(read_all(before, videos), kept)
    assert len(cache_files(videos)) == 1


def test_a_link_to_nowhere_is_no_frame(make_videos: MakeVideos) -> None:
    videos = make_videos(5, 4)
    (videos[0].path / "00099.png").symlink_to("nowhere.png")
    assert np.array_equal(read_all(open_frames(videos, TRANSFORM, "disk"), videos), decode_all(videos))


def test_each_choice_of_videos_crop_and_size_has_its_own_file(make_videos: MakeVideos) -> None:
    videos = make_videos(5, 4)
    transforms = [TRANSFORM, FrameTransform.of([0, 0, 12, 10], [6, 5]), FrameTransform.of([2, 0, 12, 10], [5, 6])]
    choices = [(subset, transform) for subset in (videos, videos[:1], videos[1:]) for transform in transforms]
    for subset, transform in choices:
        reader = open_frames(subset, transform, "disk")
        assert np.array_equal(read_all(reader, subset), read_all(DecodedFrames(subset, transform), subset))

    assert len(cache_files(videos)) == len(choices)


@pytest.mark.parametrize("damage", ["truncated", "empty", "of another version"])
def test_a_damaged_file_is_made_anew(make_videos: MakeVideos, damage: str) -> None:
    videos = make_videos(5, 4)
    open_frames(videos, TRANSFORM, "disk")
    (path,) = cache_files(videos)
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:-1], "empty": b"", "of another version": b"?" + content[1:]}[damage])

    assert np.array_equal(read_all(open_frames(videos, TRANSFORM, "disk"), videos), decode_all(videos))
    assert path.read_bytes() == content


def test_two_processes_at_once_decode_once(make_videos: MakeVideos, decoded_frames: Callable[[], int]) -> None:
    videos = make_videos(30, 30)
    barrier = FORK.Barrier(2)

    def build() -> None:
        barrier.wait()
        assert len(read_all(open_frames(videos, TRANSFORM, "disk"), videos)) == 60

    processes = [FORK.Process(target=build) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0]
    assert decoded_frames() == 60
    assert np.array_equal(read_all(open_frames(videos, TRANSFORM, "disk"), videos), decode_all(videos))


def test_a_killed_builder_blocks_nobody(make_videos: MakeVideos, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = make_videos(40)
    reached = FORK.Event()

    def build() -> None:
        decode = Video.frame

        def stuck(self: Video, index: int) -> object:
            if index == 39:
                reached.set()
                time.sleep(60)
            return decode(self, index)

        monkeypatch.setattr(Video, "frame", stuck)
        open_frames(videos, TRANSFORM, "disk")

    process = FORK.Process(target=build)
    process.start()
    assert reached.wait(30)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()

    assert not cache_files(videos)
    assert np.array_equal(read_all(open_frames(videos, TRANSFORM, "disk"), videos), decode_all(videos))
    assert not list((videos[0].path.parent / ".cache").glob("*.unfinished"))


def test_an_unwritable_dataset_uses_the_users_cache(
    make_videos: MakeVideos, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, decoded_frames: Callable[[], int]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    videos = make_videos(4)
    (videos[0].path.parent / ".cache").write_text("in the way")

    for _ in range(2):
        assert np.array_equal(open_frames(videos, TRANSFORM, "disk").read(np.arange(4)), decode_all(videos))
    assert decoded_frames() == 4 + 2 * 4
    assert len(list((tmp_path / "home" / "playable-video").rglob("*.frames"))) == 1


def test_nowhere_to_write_is_one_line(make_videos: MakeVideos, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    videos = make_videos(4)
    (videos[0].path.parent / ".cache").touch()

    with pytest.raises(
        UserError, match=r"data\.cache 'disk' can write neither to .*train/\.cache nor to .*file/playable-video"
    ):
        open_frames(videos, TRANSFORM, "disk")


def test_a_full_disk_is_one_line(make_videos: MakeVideos, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(100, 90, 10))
    videos = make_videos(4)

    with pytest.raises(UserError, match=r"the disk is full"):
        open_frames(videos, TRANSFORM, "disk")


def test_too_little_memory_is_one_line(make_videos: MakeVideos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", lambda _name: 16)

    with pytest.raises(UserError, match=r"data\.cache 'memory' needs"):
        open_frames(make_videos(4), TRANSFORM, "memory")


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_an_unreadable_frame_leaves_nothing_behind(make_videos: MakeVideos, cache: Literal["memory", "disk"]) -> None:
    videos = make_videos(5, 4)
    (videos[1].path / "00002.png").write_bytes(b"torn")

    with pytest.raises(VideoError, match=r"00002\.png"):
        open_frames(videos, TRANSFORM, cache)
    assert not cache_files(videos)
    assert not list(videos[0].path.parent.rglob("*.unfinished"))


def test_waiting_for_another_process_is_told(
    make_videos: MakeVideos, capsys: pytest.CaptureFixture[str], decoded_frames: Callable[[], int]
) -> None:
    fcntl = pytest.importorskip("fcntl")
    videos = make_videos(4)
    open_frames(videos, TRANSFORM, "disk")
    (path,) = cache_files(videos)
    path.unlink()
    holding = FORK.Event()

    def hold() -> None:
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            holding.set()
            time.sleep(0.3)

    process = FORK.Process(target=hold)
    process.start()
    assert holding.wait(30)
    capsys.readouterr()
    open_frames(videos, TRANSFORM, "disk")
    process.join()

    assert "waiting for another process" in capsys.readouterr().out
    assert decoded_frames() == 8

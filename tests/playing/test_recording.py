import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from playing import recording
from playing.recording import Event, Header, Recording, enlarged, new_session_folder, read_frame, read_play
from utils.command import UserError

pytestmark = pytest.mark.usefixtures("each_ffmpeg")

ROOT = Path(recording.__file__).parents[1]
HEADER = Header("square", "checkpoints/square/latest.pth.tar", "00ff", "cpu", seed=5, frame_rate=8.0)
STACK = np.random.default_rng(0).integers(0, 256, (2, 16, 32, 3), np.uint8)
FRAMES = np.random.default_rng(1).integers(0, 256, (4, 16, 32, 3), np.uint8)
EVENTS = [Event(1, False, 0.5), Event(3, True, 0.75), Event(0, False, 20.75), Event(2, False, 21.0)]
FACTOR = 20  # frames of 16 pixels become videos of 320


def record(folder: Path) -> Path:
    with closing(Recording(folder, HEADER, STACK)) as recorded:
        for event, frame in zip(EVENTS, FRAMES, strict=True):
            recorded.add(event, frame)
    return folder


@pytest.fixture(scope="module")
def folder(each_ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp(f"play_{each_ffmpeg}") / "00001")


def seen(folder: Path, number: int) -> np.ndarray:
    """What was seen after some events."""
    frame = read_frame(folder / "play.json", number)
    assert frame is not None
    return frame


def read_video(path: Path) -> tuple[dict[str, Any], np.ndarray]:
    """What a video says of itself, and its frames uint8 (N, H, W, 3)."""
    reader = imageio_ffmpeg.read_frames(path)
    meta = next(reader)
    width, height = meta["size"]
    return meta, np.stack([np.frombuffer(pixels, np.uint8).reshape(height, width, 3) for pixels in reader])


def test_a_frame_appears_once_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    save = Image.Image.save

    def watched(*arguments: Any, **options: Any) -> None:
        save(*arguments, **options)
        shown.append([path.name for path in sorted((tmp_path / "00001/frames").glob("*.png"))])

    recorded = Recording(tmp_path / "00001", HEADER, STACK)
    with closing(recorded), monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", watched)
        for event, frame in zip(EVENTS[:2], FRAMES, strict=False):
            recorded.add(event, frame)
    assert shown == [["00000.png"], ["00000.png", "00001.png"]]
    assert [path.name for path in sorted((tmp_path / "00001/frames").iterdir())] == [f"0000{n}.png" for n in range(3)]


def test_what_is_written_is_read_back(folder: Path) -> None:
    header, events, stack = read_play(folder / "play.json")
    assert header == HEADER
    assert events == EVENTS
    assert np.array_equal(stack, STACK)
    for number, frame in enumerate([STACK[-1], *FRAMES]):
        assert np.array_equal(seen(folder, number), frame)
    assert read_frame(folder / "play.json", 5) is None


def test_the_video_shows_the_frames_enlarged(folder: Path) -> None:
    meta, frames = read_video(folder / "video.mp4")
    assert meta["fps"] == 8
    assert frames.shape == (5, 16 * FACTOR, 32 * FACTOR, 3)
    seen = [STACK[-1], *FRAMES]
    for pixels, frame in zip(frames, seen, strict=True):
        middles = pixels[FACTOR // 2 :: FACTOR, FACTOR // 2 :: FACTOR].astype(int)
        distances = [np.abs(middles - other).mean() for other in seen]
        assert np.argmin(distances) == next(i for i, other in enumerate(seen) if other is frame)


@pytest.mark.parametrize(("height", "factor"), [(16, 20), (96, 3), (208, 2), (256, 1), (720, 1)])
def test_frames_of_videos_are_enlarged_by_a_whole_factor(height: int, factor: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, height, 16, 3), np.uint8)
    large = enlarged(frames)
    assert large.shape == (2, height * factor, 16 * factor, 3)
    assert (large == np.kron(frames, np.ones((1, factor, factor, 1), np.uint8))).all()


def test_the_actions_are_drawn_into_a_video_of_their_own(folder: Path) -> None:
    _, plain = read_video(folder / "video.mp4")
    _, drawn = read_video(folder / "video_actions.mp4")
    difference = np.abs(plain.astype(int) - drawn).mean(axis=3) > 60
    assert not difference[0].any()  # nothing was done yet
    assert difference[1:, :60, :80].any(axis=(1, 2)).all()
    assert not difference[:, 100:].any()


def test_one_video_keeps_the_timing_but_for_long_pauses(folder: Path) -> None:
    meta, frames = read_video(folder / "video_real_time.mp4")
    assert meta["fps"] == recording.REAL_TIME_FRAME_RATE
    seconds = 0.5 + 0.25 + recording.LONGEST_PAUSE + 0.25
    assert len(frames) == pytest.approx(seconds * recording.REAL_TIME_FRAME_RATE, abs=1)


def test_a_killed_recording_is_whole(tmp_path: Path) -> None:
    script = """
import sys, time
import numpy as np
from contextlib import closing
from pathlib import Path
from playing.recording import *
from tests.playing.test_recording import HEADER, STACK, FRAMES, EVENTS
recorded = Recording(Path(sys.argv[1]), HEADER, STACK)
for event, frame in zip(EVENTS[:3], FRAMES):
    recorded.add(event, frame)
print(flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "killed")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        process.send_signal(signal.SIGKILL)
    assert read_play(tmp_path / "killed" / "play.json")[1] == EVENTS[:3]
    assert np.array_equal(seen(tmp_path / "killed", 3), FRAMES[2])
    video = tmp_path / "killed" / "video.mp4"
    deadline = time.monotonic() + 30
    while not _is_finished(video):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(read_video(video)[1]) == 4


def _is_finished(video: Path) -> bool:
    return video.exists() and b"moov" in video.read_bytes()


def test_nothing_is_overwritten(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        Recording(folder, HEADER, STACK)
    first = new_session_folder(tmp_path, "square")
    first.mkdir(parents=True)
    second = new_session_folder(tmp_path, "square")
    assert first != second
    assert first.parent == second.parent == tmp_path / "square"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "play.json").unlink(),
        lambda folder: (folder / "play.json").write_text("[1]"),
        lambda folder: (folder / "play.json").write_text("{"),
        lambda folder: (folder / "play.json").write_bytes(b"\xff"),
        lambda folder: edit(folder, format_version=2),
        lambda folder: edit(folder, events=[{"action": "left"}]),
        lambda folder: edit(folder, events=[{"action": -1, "noise": False, "seconds": 0}]),
        lambda folder: edit(folder, events=[{"action": 0, "noise": False, "seconds": 0}]),
        lambda folder: edit(folder, extra=1),
        lambda folder: (folder / "starting_frames/00000.png").write_bytes(b"torn"),
        lambda folder: [path.unlink() for path in folder.glob("starting_frames/*")],
        lambda folder: Image.new("RGB", (5, 5)).save(folder / "starting_frames/00000.png"),
    ],
)
def test_a_spoilt_recording_is_refused(folder: Path, tmp_path: Path, spoil: Any) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    spoil(copy)
    with pytest.raises(UserError, match=r"play\.json: not a recording that can be replayed: .*; give the play\.json"):
        read_play(copy / "play.json")


def edit(folder: Path, **changes: Any) -> None:
    contents = json.loads((folder / "play.json").read_text())
    (folder / "play.json").write_text(json.dumps(contents | changes))

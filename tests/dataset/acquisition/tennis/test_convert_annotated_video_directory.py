import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.acquisition.tennis import convert_annotated_video_directory
from dataset.acquisition.tennis.annotations import Clip
from dataset.acquisition.tennis.convert_annotated_video_directory import convert_clips
from dataset.video import Video, write_video
from tests.command import Command
from tests.dataset.acquisition.tennis.numbered_match import QUARTERS, Label, label_of, read_frames
from utils.command import UserError

SIZE = (48, 32)

CLIPS = [
    Clip("first_00000.mp4", 0, 11, QUARTERS[0], number=0),
    Clip("first_00000.mp4", 12, 59, QUARTERS[3], number=1),
    Clip("first_00001.mp4", 7, 7, QUARTERS[1], number=2),
    Clip("first_00001.mp4", 29, 31, QUARTERS[2], number=3),
    Clip("second_00003.mp4", 19, 19, QUARTERS[3], number=4),
]
FIRST_FRAMES = (0, 12, 67, 89, 199)
"""Of each clip, within its match."""


def labels(path: Path) -> list[Label]:
    video = Video(path)
    return [label_of(video.frame(index)) for index in range(len(video))]


def frame_numbers(path: Path) -> list[int]:
    return [label.frame for label in labels(path)]


def test_clips_are_exactly_the_annotated_frames_and_boxes(segments: Path, tmp_path: Path) -> None:
    convert_clips(CLIPS, segments, tmp_path, SIZE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000", "00001", "00002", "00003", "00004"]
    for clip, first in zip(CLIPS, FIRST_FRAMES, strict=True):
        match, quarter = 1 + clip.segment.startswith("second"), QUARTERS.index(clip.box)
        expected = [Label(match, quarter, first + index) for index in range(clip.num_frames)]
        assert labels(tmp_path / f"{clip.number:05d}") == expected
    assert not Video(tmp_path / "00000").annotations.actions_are_known


def test_frames_are_cropped_and_then_resized_bicubic(segments: Path, tmp_path: Path) -> None:
    box = (5, 3, 50, 40)
    convert_clips([Clip("first_00001.mp4", 20, 20, box)], segments, tmp_path, SIZE)
    frame = Image.fromarray(read_frames(segments / "first_00001.mp4")[20])
    expected = frame.crop(box).resize(SIZE, Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(Video(tmp_path / "00000").frame(0)), np.asarray(expected))


def test_clips_that_overlap(segments: Path, tmp_path: Path) -> None:
    ranges = [(3, 9), (9, 12), (10, 10), (10, 20), (21, 30)]
    clips = [Clip("first_00000.mp4", *frames, QUARTERS[0], number) for number, frames in enumerate(ranges)]
    convert_clips(clips, segments, tmp_path, SIZE)
    for number, (begin, end) in enumerate(ranges):
        assert frame_numbers(tmp_path / f"{number:05d}") == list(range(begin, end + 1))


def test_hundreds_of_clips_of_one_match(matches: Path, tmp_path: Path) -> None:
    clips = [Clip("first.mp4", frame, frame, QUARTERS[0], frame) for frame in range(200)]
    convert_clips(clips, matches, tmp_path, SIZE)
    assert [frame_numbers(tmp_path / f"{frame:05d}") for frame in range(200)] == [[frame] for frame in range(200)]


def test_only_missing_clips_are_converted(segments: Path, tmp_path: Path) -> None:
    convert_clips(CLIPS, segments, tmp_path, SIZE)
    shutil.rmtree(tmp_path / "00001")
    (tmp_path / ".00001.unfinished").mkdir()
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("0*")}
    convert_clips(CLIPS, segments, tmp_path, SIZE)
    assert frame_numbers(tmp_path / "00001") == list(range(12, 60))
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert not list(tmp_path.glob(".*"))


def test_finished_clips_need_no_segments(segments: Path, tmp_path: Path) -> None:
    convert_clips(CLIPS, segments, tmp_path / "clips", SIZE)
    convert_clips(CLIPS, tmp_path / "removed", tmp_path / "clips", SIZE)


@pytest.mark.parametrize(("num_frames", "size"), [(11, SIZE), (12, (48, 48))])
def test_another_clip_in_the_place_of_one_is_refused(
    num_frames: int, size: tuple[int, int], segments: Path, tmp_path: Path
) -> None:
    write_video(tmp_path / "00000", [Image.new("RGB", size)] * num_frames)
    with pytest.raises(UserError, match=r"00000: holds another clip than 12 frames of 48x32; choose a new"):
        convert_clips(CLIPS, segments, tmp_path, SIZE)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (Clip("first_00003.mp4", 10, 20, QUARTERS[0]), r"first_00003.mp4: has no frame 20 \(it ends before\); the"),
        (Clip("first_00000.mp4", 0, 1, (0, 0, 65, 48)), r"frames of 64x48 pixels, but clip 0 reaches to 65x48; the"),
        (Clip("first_00000.mp4", 0, 1, (0, 0, 64, 49)), r"frames of 64x48 pixels, but clip 0 reaches to 64x49; the"),
        (Clip("third_00000.mp4", 0, 1, QUARTERS[0]), r"third_00000.mp4: missing; cut the matches"),
    ],
)
def test_a_clip_outside_the_footage_is_refused_and_leaves_nothing(
    clip: Clip, message: str, segments: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        convert_clips([clip], segments, tmp_path, SIZE)
    assert not list(tmp_path.iterdir())


def test_a_segment_that_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not a video" * 100)
    with pytest.raises(UserError, match=r"a\.mp4: has no frame 0 \(.*Invalid data"):
        convert_clips([Clip("a.mp4", 0, 3, QUARTERS[0])], tmp_path, tmp_path / "clips", SIZE)


def test_command(
    segments: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "annotations.csv"
    table.write_text(
        "index,original_filename,begin_frame,end_frame,top,left,bottom,right\n0,first_00001.mp4,2,3,24,0,48,32\n"
    )
    output = tmp_path / "clips"
    paths = ["--video_directory", str(segments), "--output_directory", str(output)]
    command = Command(convert_annotated_video_directory, tmp_path, monkeypatch, capsys, *paths)
    assert command("--annotations", str(table))[0] == 0
    assert labels(output / "00000") == [Label(1, 2, 62), Label(1, 2, 63)]
    assert Video(output / "00000").frame(0).size == (256, 96)
    assert "no.csv: cannot be read" in command.refused("--annotations", str(tmp_path / "no.csv"))

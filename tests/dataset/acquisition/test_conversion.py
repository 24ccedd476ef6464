import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.acquisition import conversion
from dataset.acquisition.conversion import ConversionOptions, convert_sources, converted_frames
from dataset.acquisition.readers.source import Probe, Source, SourceError, SourceFrame
from dataset.acquisition.readers.video_file import VideoFile
from dataset.video import Video
from tests.dataset.acquisition.clips import (
    BLACK,
    BLUE,
    GREEN,
    RED,
    WHITE,
    corners,
    encode,
    number_of,
    numbered,
    quarters,
)
from utils.command import UserError

pytestmark = pytest.mark.usefixtures("each_ffmpeg")

OPTIONS = ConversionOptions(target_size=(32, 16))


@dataclass(frozen=True)
class Frames:
    """A source of given frames, some of them unreadable; frame t has the action t."""

    name: str
    pixels: np.ndarray
    rate: int | None = 10
    damaged_from: int | None = None
    interrupted_at: int | None = None
    gap_before: int | None = None

    def probe(self) -> Probe:
        _, height, width, _ = self.pixels.shape
        return Probe(width, height, None if self.rate is None else Fraction(self.rate), len(self.pixels))

    def frames(self) -> Iterator[SourceFrame]:
        for index, pixels in enumerate(self.pixels):
            if index == self.damaged_from:
                raise SourceError(f"{self.name}: is damaged")
            if index == self.interrupted_at:
                raise KeyboardInterrupt
            yield SourceFrame(pixels, index, {"index": index}, follows_gap=index == self.gap_before)


def sources(*names: str, **facts: Any) -> list[Frames]:
    return [Frames(name, numbered(6 + index), **facts) for index, name in enumerate(names)]


def contents(directory: Path) -> dict[str, bytes]:
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def videos(directory: Path) -> list[str]:
    return sorted(str(file.parent.relative_to(directory)) for file in directory.rglob("annotations.json"))


def numbers(source: Source, **options: Any) -> list[int]:
    return [number_of(frame.pixels) for frame in converted_frames(source, replace(OPTIONS, **options))]


@pytest.fixture(params=["file", "frames"])
def make_source(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Makes a source of given frames that ffmpeg decodes, or that gives them itself."""

    def make(frames: np.ndarray) -> Source:
        if request.param == "frames":
            return Frames("clip.mkv", frames)
        return VideoFile(encode(tmp_path / "clip.mkv", frames, "-c:v", "ffv1"), "clip.mkv")

    return make


class TestFrames:
    @pytest.mark.parametrize(
        ("size", "keep_aspect", "crop", "expected"),
        [
            ((64, 64), "stretch", None, [RED, GREEN, BLUE, WHITE]),
            ((32, 64), "pad", None, [BLACK] * 4),
            ((32, 18), "pad", None, [RED, GREEN, BLUE, WHITE]),
            ((16, 64), "crop", None, [RED, GREEN, BLUE, WHITE]),
            ((8, 8), "stretch", (1, 3, 15, 8), [RED] * 4),
            ((8, 8), "pad", (17, 1, 31, 15), [GREEN, GREEN, WHITE, WHITE]),
            ((8, 8), "crop", (0, 9, 32, 16), [BLUE, WHITE, BLUE, WHITE]),
        ],
    )
    def test_crop_and_shape(
        self, make_source: Any, size: tuple[int, int], keep_aspect: Any, crop: Any, expected: list[Any]
    ) -> None:
        options = ConversionOptions(size, keep_aspect=keep_aspect, crop=crop)
        frames = list(converted_frames(make_source(quarters()), options))
        assert len(frames) == 3
        assert frames[0].pixels.shape == (size[1], size[0], 3)
        assert corners(frames[0].pixels) == expected

    def test_padding_is_even_and_shrinking_is_smooth(self, make_source: Any) -> None:
        (frame, *_) = converted_frames(make_source(quarters()), ConversionOptions((16, 16), keep_aspect="pad"))
        rows = frame.pixels.max(axis=(1, 2))
        assert (rows[:4] == 0).all()
        assert (rows[4:12] == 255).all()
        assert (rows[12:] == 0).all()

        stripes = np.zeros((2, 32, 32, 3), np.uint8)
        stripes[:, :, ::2] = 255
        (frame, *_) = converted_frames(make_source(stripes), ConversionOptions((8, 8)))
        assert np.abs(frame.pixels[:, 1:-1].astype(int) - 127).max() <= 4

    def test_boxes_are_exact_where_colour_is_coarser(self, tmp_path: Path) -> None:
        frames = np.zeros((1, 16, 32, 3), np.uint8)
        frames[:, 7:, 15:] = 255
        clip = encode(tmp_path / "clip.mp4", frames, "-c:v", "libx264", "-crf", "1", "-pix_fmt", "yuv420p")
        options = ConversionOptions((8, 8), crop=(15, 7, 23, 15))
        (frame,) = converted_frames(VideoFile(clip, "clip.mp4"), options)
        assert frame.pixels.min() > 240

    def test_parts(self, make_source: Any) -> None:
        source = make_source(numbered(10))
        assert numbers(source, start=0.2, end=0.6) == [2, 3, 4, 5]
        assert numbers(source, frame_rate=20)[:6] == [0, 0, 1, 1, 2, 2]
        assert len(numbers(source, frame_rate=5)) == 5
        assert numbers(source, frame_rate=20, start=0.8) == [8, 8, 9, 9]

    def test_a_box_outside_is_named(self, make_source: Any) -> None:
        with pytest.raises(SourceError, match=r"clip\.mkv: has 32x16 pixels, which do not hold the box 0 0 33 16"):
            converted_frames(make_source(numbered(1)), replace(OPTIONS, crop=(0, 0, 33, 16)))

    def test_rates_of_other_sources(self) -> None:
        fast = Frames("fast", numbered(12), rate=30)
        assert numbers(fast, frame_rate=10) == [0, 3, 6, 9]
        assert numbers(fast, frame_rate=20, start=0.1) == [3, 4, 6, 7, 9, 10]
        without_time = Frames("timeless", numbered(6), rate=None)
        assert numbers(without_time) == [0, 1, 2, 3, 4, 5]
        assert numbers(without_time, frame_rate=2, start=1, end=2) == [2, 3]
        with pytest.raises(SourceError, match="timeless: has no frame rate"):
            numbers(without_time, start=1)


class TestDataSet:
    def test_flat_layout_and_annotations(self, tmp_path: Path) -> None:
        found = convert_sources(sources("a", "b"), OPTIONS, tmp_path, processes=1)
        assert (found.num_videos, found.num_frames, found.skipped, found.warnings) == (2, 13, {}, {})
        assert videos(tmp_path) == ["00000", "00001"]
        video = Video(tmp_path / "00001")
        assert [number_of(np.asarray(video.frame(index))) for index in range(len(video))] == list(range(7))
        assert video.annotations.actions == list(range(7))
        assert video.annotations.metadata[3] == {"index": 3}

    def test_files_have_unknown_annotations(self, tmp_path: Path) -> None:
        file = VideoFile(encode(tmp_path / "a.mkv", numbered(3), "-c:v", "ffv1"), "a.mkv")
        convert_sources([file], OPTIONS, tmp_path / "out", processes=1)
        video = Video(tmp_path / "out/00000")
        assert len(video) == 3
        assert not video.annotations.actions_are_known

    def test_max_frames(self, tmp_path: Path) -> None:
        found = convert_sources(sources("a"), replace(OPTIONS, max_frames=4), tmp_path, processes=1)
        assert found.num_frames == len(Video(tmp_path / "00000")) == 4

    def test_splits_are_cut_by_source(self, tmp_path: Path) -> None:
        options = replace(OPTIONS, splits=(0.6, 0.2, 0.2), detect_cuts=True)
        convert_sources(sources(*"abcde"), options, tmp_path, processes=1)
        assert videos(tmp_path) == ["test/00000_000", *(f"train/0000{i}_000" for i in range(3)), "val/00000_000"]
        assert len(Video(tmp_path / "val/00000_000")) == 9

    def test_a_split_without_videos_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="leaves none of the 2 videos to 'val'"):
            convert_sources(sources("a", "b"), replace(OPTIONS, splits=(0.8, 0.1, 0.1)), tmp_path / "out", processes=1)
        assert not (tmp_path / "out").exists()
        convert_sources(sources("a", "b"), replace(OPTIONS, splits=(1, 0, 0)), tmp_path / "out", processes=1)
        assert videos(tmp_path / "out") == ["train/00000", "train/00001"]

    def test_scenes_become_videos(self, tmp_path: Path) -> None:
        pixels = np.concatenate([numbered(5), 255 - numbered(4)])
        found = convert_sources([Frames("a", pixels)], replace(OPTIONS, detect_cuts=True), tmp_path, processes=1)
        assert (found.num_videos, found.num_frames) == (2, 9)
        assert [len(Video(tmp_path / name)) for name in ("00000_000", "00000_001")] == [5, 4]
        assert Video(tmp_path / "00000_001").annotations.actions == [5, 6, 7, 8]

    @pytest.mark.parametrize("detect_cuts", [False, True])
    def test_a_video_begins_where_frames_are_missing(self, tmp_path: Path, detect_cuts: bool) -> None:
        source = Frames("a", numbered(9), gap_before=5)
        found = convert_sources([source], replace(OPTIONS, detect_cuts=detect_cuts), tmp_path, processes=1)
        assert (found.num_videos, found.num_frames) == (2, 9)
        first = "00000_000" if detect_cuts else "00000"
        assert [len(Video(tmp_path / name)) for name in (first, "00000_001")] == [5, 4]
        assert Video(tmp_path / "00000_001").annotations.actions == [5, 6, 7, 8]
        before = contents(tmp_path)
        convert_sources([source], replace(OPTIONS, detect_cuts=detect_cuts), tmp_path, processes=1)
        assert contents(tmp_path) == before

    @pytest.mark.parametrize(("frame_rate", "lengths"), [(20, [10, 8]), (5, [3, 2])])
    def test_a_gap_is_one_at_another_rate_too(self, tmp_path: Path, frame_rate: float, lengths: list[int]) -> None:
        source = Frames("a", numbered(9), gap_before=5)
        convert_sources([source], replace(OPTIONS, frame_rate=frame_rate), tmp_path, processes=1)
        assert [len(Video(tmp_path / name)) for name in videos(tmp_path)] == lengths

    def test_unreadable_sources_leave_their_number_until_they_are_mended(self, tmp_path: Path) -> None:
        given = sources("a", "b", "c")
        broken = [given[0], replace(given[1], damaged_from=0), replace(given[2], damaged_from=4)]
        found = convert_sources(broken, OPTIONS, tmp_path, processes=1)
        assert (found.num_videos, found.num_frames) == (2, 10)
        assert found.skipped == {"b": "is damaged"}
        assert found.warnings == {"c": "is damaged"}
        assert videos(tmp_path) == ["00000", "00002"]
        assert len(Video(tmp_path / "00002")) == 4

        found = convert_sources(given, OPTIONS, tmp_path, processes=1)
        assert found.skipped == {}
        assert found.warnings == {"c": "is damaged"}
        assert videos(tmp_path) == ["00000", "00001", "00002"]
        assert len(Video(tmp_path / "00001")) == 7

    def test_two_processes_convert_the_same_as_one(self, tmp_path: Path) -> None:
        given = sources(*"abcd")
        given[1] = replace(given[1], damaged_from=0)
        for processes in (1, 2):
            convert_sources(given, OPTIONS, tmp_path / str(processes), processes)
        assert contents(tmp_path / "1") == contents(tmp_path / "2")


class TestContinuing:
    def test_an_interruption_leaves_no_trace(self, tmp_path: Path) -> None:
        options = replace(OPTIONS, detect_cuts=True)
        pixels = np.concatenate([numbered(5), 255 - numbered(5)])
        given = [Frames("a", pixels), Frames("b", pixels), Frames("c", pixels)]
        convert_sources(given, options, tmp_path / "whole", processes=1)

        interrupted = [given[0], replace(given[1], interrupted_at=8), given[2]]
        with pytest.raises(KeyboardInterrupt):
            convert_sources(interrupted, options, tmp_path / "out", processes=1)
        assert videos(tmp_path / "out") == ["00000_000", "00000_001", "00001_000"]
        convert_sources(given, options, tmp_path / "out", processes=1)
        assert contents(tmp_path / "out") == contents(tmp_path / "whole")

    def test_what_is_finished_is_not_read_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        given = sources("a", "b")
        first = convert_sources(given, OPTIONS, tmp_path, processes=1)
        monkeypatch.setattr(conversion, "convert_source", lambda *_: pytest.fail("read again"))
        assert convert_sources(given, OPTIONS, tmp_path, processes=1) == first

    def test_a_removed_video_is_converted_again(self, tmp_path: Path) -> None:
        given = sources("a", "b")
        convert_sources(given, OPTIONS, tmp_path, processes=1)
        before = contents(tmp_path)
        (tmp_path / "00001").rename(tmp_path / ".away")
        convert_sources(given, OPTIONS, tmp_path, processes=1)
        assert {name: data for name, data in contents(tmp_path).items() if not name.startswith(".away")} == before

    def test_a_note_that_was_cut_off_is_made_again(self, tmp_path: Path) -> None:
        given = sources("a", "b")
        convert_sources(given, OPTIONS, tmp_path, processes=1)
        before = contents(tmp_path)
        notes = tmp_path / "sources.jsonl"
        notes.write_bytes(notes.read_bytes()[:-10])
        convert_sources(given, OPTIONS, tmp_path, processes=1)
        assert contents(tmp_path) == before

    def test_notes_tell_where_each_source_is(self, tmp_path: Path) -> None:
        convert_sources(sources("a", "b"), replace(OPTIONS, splits=(0.5, 0, 0.5)), tmp_path, processes=1)
        notes = [json.loads(line) for line in (tmp_path / "sources.jsonl").read_text().splitlines()]
        assert notes == [
            {"name": "a", "videos": ["train/00000"], "num_frames": 6, "problem": None},
            {"name": "b", "videos": ["test/00000"], "num_frames": 7, "problem": None},
        ]

    def test_other_options_are_refused(self, tmp_path: Path) -> None:
        convert_sources(sources("a"), replace(OPTIONS, frame_rate=5.0, detect_cuts=True), tmp_path, processes=1)
        before = contents(tmp_path)
        with pytest.raises(UserError, match=r"was converted with --fps 5\.0, no --crop, --detect_cuts; repeat"):
            convert_sources(sources("a"), replace(OPTIONS, crop=(0, 0, 8, 8)), tmp_path, processes=1)
        assert contents(tmp_path) == before

    def test_sources_may_be_added_behind_but_not_before_others(self, tmp_path: Path) -> None:
        convert_sources(sources("b"), OPTIONS, tmp_path, processes=1)
        before = contents(tmp_path)
        with pytest.raises(UserError, match="00000 was converted from b, which is now 00001: footage was added"):
            convert_sources(sources("a", "b"), OPTIONS, tmp_path, processes=1)
        with pytest.raises(UserError, match="00000 was converted from b, which is no longer there"):
            convert_sources(sources("c"), OPTIONS, tmp_path, processes=1)
        assert contents(tmp_path) == before
        assert convert_sources(sources("b", "c"), OPTIONS, tmp_path, processes=1).num_videos == 2

    def test_foreign_folders_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("mine")
        with pytest.raises(UserError, match=r"holds files but no conversion\.json"):
            convert_sources(sources("a"), OPTIONS, tmp_path, processes=1)
        assert contents(tmp_path) == {"mine": b"mine"}


@pytest.mark.parametrize(
    ("impossible", "message"),
    [
        ({"crop": (8, 0, 8, 16)}, "--crop 8 0 8 16: is no box"),
        ({"crop": (0, -1, 8, 16)}, "0 <= T"),
        ({"start": -1.0}, "0 <= start < end"),
        ({"start": 2.0, "end": 2.0}, "0 <= start < end"),
        ({"start": float("nan")}, "0 <= start < end"),
        ({"splits": (0.8, 0.1, 0.2)}, "must add up to 1"),
        ({"splits": (1.2, -0.2, 0.0)}, "must add up to 1"),
    ],
)
def test_impossible_options_are_refused(impossible: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(OPTIONS, **impossible)

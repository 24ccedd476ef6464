import itertools
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dataset.acquisition.readers.source import SourceError, SourceFrame
from dataset.acquisition.readers.video_file import VideoFile, find
from tests.dataset.acquisition.clips import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    corners,
    encode,
    ffmpeg,
    number_of,
    numbered,
    quarters,
)

pytestmark = pytest.mark.usefixtures("each_ffmpeg")

QUARTER_TURN = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
"""The matrix in an MP4 file that says: turn clockwise before showing."""


@pytest.fixture(scope="module")
def twelve(each_ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> VideoFile:
    """Twelve numbered frames, 30 a second."""
    return video(encode(tmp_path_factory.mktemp(f"clips_{each_ffmpeg}") / "twelve.mp4", numbered(12), frame_rate=30))


def video(path: Path) -> VideoFile:
    return VideoFile(path, path.name)


def numbers(file: VideoFile, **options: float) -> list[int]:
    return [number_of(frame.pixels) for frame in file.frames(**options)]  # type: ignore[arg-type]


def read_to_the_problem(file: VideoFile) -> tuple[list[bytes], str]:
    """The frames before a problem, and the problem."""
    frames: list[bytes] = []
    with pytest.raises(SourceError) as error:
        frames.extend(frame.pixels.tobytes() for frame in file.frames())
    return frames, str(error.value)


def test_all_frames_come_in_order(twelve: VideoFile) -> None:
    frames = list(twelve.frames())
    assert [number_of(frame.pixels) for frame in frames] == list(range(12))
    assert {(frame.pixels.shape, frame.pixels.dtype) for frame in frames} == {((16, 32, 3), np.dtype(np.uint8))}
    assert frames[0].action is None
    assert frames[0].metadata is None


def test_probe(twelve: VideoFile) -> None:
    probe = twelve.probe()
    assert (probe.width, probe.height, probe.frame_rate, probe.num_frames) == (32, 16, Fraction(30), 12)


def test_frames_are_dropped_and_repeated_to_the_rate(twelve: VideoFile) -> None:
    assert numbers(twelve, frame_rate=10) == [1, 4, 7, 10]
    assert numbers(twelve, frame_rate=60) == [number for number in range(12) for _ in range(2)]


def test_parts(twelve: VideoFile) -> None:
    assert numbers(twelve, start=0.1, end=0.2) == [3, 4, 5]
    part = VideoFile(twelve.path, "part", start=0.1, end=0.3)
    assert numbers(part) == [3, 4, 5, 6, 7, 8]
    assert part.probe().num_frames == 6
    assert numbers(part, start=0.1) == [6, 7, 8]
    assert numbers(part, end=0.1) == [3, 4, 5]
    for nothing in ({"start": 9.0}, {"start": 0.25, "end": 9.0}):
        with pytest.raises(SourceError, match="part: has no frames there"):
            list(part.frames(**nothing))  # type: ignore[arg-type]


def test_uneven_times(tmp_path: Path) -> None:
    times = r"setpts=if(lt(N\,5)\,N\,3*N-10)"
    file = video(encode(tmp_path / "uneven.mkv", numbered(8), "-vf", times, "-c:v", "ffv1"))
    assert numbers(file) == list(range(8))
    assert numbers(file, frame_rate=10)[:12] == [0, 1, 2, 3, 4, 5, 5, 5, 6, 6, 6, 7]


def test_rotation(tmp_path: Path) -> None:
    file = encode(tmp_path / "turned.mp4", quarters())
    data = bytearray(file.read_bytes())
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 36] = QUARTER_TURN
    file.write_bytes(data)
    assert corners(next(video(file).frames()).pixels) == [BLUE, RED, WHITE, GREEN]
    assert (video(file).probe().width, video(file).probe().height) == (16, 32)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    file = encode(tmp_path / "wide.mp4", quarters(), "-vf", "setsar=2", "-c:v", "mpeg4", "-q:v", "1")
    pixels = next(video(file).frames()).pixels
    assert pixels.shape == (16, 64, 3)
    assert corners(pixels) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("png.mov", ("-c:v", "png")),
        ("vp9.webm", ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-crf", "4", "-b:v", "0")),
    ],
)
def test_transparency_is_composited_on_white(tmp_path: Path, name: str, coding: tuple[str, ...]) -> None:
    frames = np.empty((2, 32, 96, 4), np.uint8)
    frames[:, :, :32], frames[:, :, 32:64], frames[:, :, 64:] = (*RED, 255), (*RED, 102), (*BLUE, 0)
    pixels = next(video(encode(tmp_path / name, frames, *coding)).frames()).pixels.astype(int)
    for x, expected in ((16, RED), (48, (255, 153, 153)), (80, WHITE)):
        assert np.abs(pixels[16, x] - expected).max() <= 4


@pytest.mark.parametrize(
    ("width", "height", "coding"),
    [
        (32, 16, ("-c:v", "libx264", "-crf", "1", "-pix_fmt", "yuv420p10le")),
        (35, 17, ("-c:v", "libx264", "-crf", "1", "-pix_fmt", "yuv444p")),
        (32, 16, ("-f", "lavfi", "-i", "sine=d=0.5", "-c:v", "mpeg4", "-q:v", "1", "-c:a", "aac")),
    ],
    ids=["10-bit", "odd size", "with audio"],
)
def test_kinds_of_clips(tmp_path: Path, width: int, height: int, coding: tuple[str, ...]) -> None:
    file = video(encode(tmp_path / "clip.mp4", numbered(5, width, height), *coding))
    frames = list(file.frames())
    assert [number_of(frame.pixels) for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[0].pixels.shape == (height, width, 3)


@pytest.mark.parametrize("name", ["two words.mp4", "-ünï 影片 %03d 'q'.mp4", "http:x.mp4"])
def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, twelve: VideoFile) -> None:
    (tmp_path / name).write_bytes(twelve.path.read_bytes())
    monkeypatch.chdir(tmp_path)
    (file,) = find(Path())
    assert file.name == name
    assert len(list(file.frames())) == 12


@pytest.mark.parametrize(
    ("suffix", "coding"),
    [
        ("mp4", ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "faststart")),
        ("mkv", ("-c:v", "libx264", "-pix_fmt", "yuv420p")),
        ("avi", ("-c:v", "mpeg4", "-q:v", "2")),
        ("ts", ("-c:v", "mpeg2video", "-q:v", "2", "-g", "12")),
    ],
)
def test_a_truncated_file_gives_its_intact_frames_and_then_says_so(
    tmp_path: Path, suffix: str, coding: tuple[str, ...]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 64, 3), np.uint8)
    frames = numbered(24, 64, 32) // 2 + noise // 4
    whole = video(encode(tmp_path / f"whole.{suffix}", frames, *coding, frame_rate=25))
    data = whole.path.read_bytes()
    truncated = video(tmp_path / f"truncated.{suffix}")
    truncated.path.write_bytes(data[: len(data) * 6 // 10])
    intact, problem = read_to_the_problem(truncated)
    assert 5 < len(intact) < 20
    assert intact == [frame.pixels.tobytes() for frame in whole.frames()][: len(intact)]
    assert problem.startswith(f"truncated.{suffix}: damaged or incomplete: ")


def test_frames_that_are_damaged_on_the_way_are_left_out(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 64, 3), np.uint8)
    whole = video(encode(tmp_path / "whole.mp4", noise, "-c:v", "mjpeg", "-q:v", "2"))
    data = bytearray(whole.path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(byte ^ 0x5A for byte in data[middle : middle + 400])
    damaged = video(tmp_path / "damaged.mp4")
    damaged.path.write_bytes(data)
    intact, problem = read_to_the_problem(damaged)
    originals = [frame.pixels.tobytes() for frame in whole.frames()]
    assert 15 < len(intact) < 24
    assert all(frame in originals for frame in intact)
    assert problem.startswith("damaged.mp4: damaged or incomplete: ")


@pytest.mark.parametrize(
    ("suffix", "coding"),
    [
        ("mp4", ("-c:v", "libx264", "-g", "20", "-pix_fmt", "yuv420p")),
        ("ts", ("-c:v", "libx264", "-g", "20", "-pix_fmt", "yuv420p")),
        ("avi", ("-c:v", "mjpeg", "-q:v", "2")),
        ("webm", ("-c:v", "libvpx", "-b:v", "1M", "-g", "20")),
    ],
)
def test_what_follows_a_damaged_part_is_intact_and_marked(tmp_path: Path, suffix: str, coding: tuple[str, ...]) -> None:
    whole = video(encode(tmp_path / f"whole.{suffix}", moving(80), *coding, frame_rate=30))
    data = bytearray(whole.path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1500] = bytes(byte ^ 0x5A for byte in data[middle : middle + 1500])
    damaged = video(tmp_path / f"damaged.{suffix}")
    damaged.path.write_bytes(data)
    originals = [hash(frame.pixels.tobytes()) for frame in whole.frames()]
    for rate in (None, 30, 10):
        frames: list[SourceFrame] = []
        with pytest.raises(
            SourceError, match=r"damaged or incomplete: .*; \d+ of the \d\d frames still there are left out$"
        ):
            frames.extend(damaged.frames(rate))
        numbers = [originals.index(hash(frame.pixels.tobytes())) for frame in frames]
        assert numbers == sorted(set(numbers))
        assert min(numbers) < 3
        assert max(numbers) > 74
        assert len(numbers) > 32 / 30 * (rate or 30)
        steps = [later - number for number, later in itertools.pairwise(numbers)]
        follow_gaps = [frame.follows_gap for frame in frames[1:]]
        assert any(follow_gaps)
        assert not frames[0].follows_gap
        assert all(
            step <= 30 / (rate or 30) + 1 for step, follows in zip(steps, follow_gaps, strict=True) if not follows
        )


OPEN_GROUPS = ("-c:v", "libx264", "-x264-params", "open-gop=1:keyint=20:scenecut=0:bframes=3:b-pyramid=normal:ref=4")


def moving(num_frames: int) -> np.ndarray:
    """Frames of noise that moves, for which an encoder makes use of both earlier and later frames."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 40, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    return np.stack([np.roll(noise, 4 * index, axis=1)[:, :160] for index in range(num_frames)])


def test_a_part_that_begins_in_an_open_group_of_pictures(tmp_path: Path) -> None:
    whole = video(encode(tmp_path / "open.mp4", moving(120), *OPEN_GROUPS, "-pix_fmt", "yuv420p", frame_rate=30))
    frames = [frame.pixels.tobytes() for frame in whole.frames()]
    for start in (1, 2.5):
        part = [frame.pixels.tobytes() for frame in whole.frames(start=start)]
        assert part == frames[round(30 * start) :]


def test_a_recording_that_begins_in_the_middle_of_a_group_gives_what_follows_and_says_so(tmp_path: Path) -> None:
    whole = video(encode(tmp_path / "whole.ts", moving(120), *OPEN_GROUPS, "-pix_fmt", "yuv420p", frame_rate=30))
    packets = whole.path.read_bytes()
    recording = video(tmp_path / "recording.ts")
    recording.path.write_bytes(packets[len(packets) * 3 // 10 // 188 * 188 :])
    frames, problem = read_to_the_problem(recording)
    assert 50 < len(frames) < 90
    assert frames == [frame.pixels.tobytes() for frame in whole.frames()][-len(frames) - 1 : -1]
    assert problem.startswith("recording.ts: damaged or incomplete: ")


def test_an_uneven_rate_is_measured_where_the_header_tells_no_duration(tmp_path: Path) -> None:
    uneven = ("-vf", r"setpts=if(lt(N\,10)\,N\,5*N-40)", "-c:v", "ffv1")
    probe = video(encode(tmp_path / "streamed.mkv", numbered(30), *uneven, "-live", "1")).probe()
    assert probe.num_frames == 30
    assert float(probe.frame_rate or 0) == pytest.approx(30 / 11, rel=0.05)


def joined(folder: Path, suffix: str, *coding: str) -> VideoFile:
    """Twelve numbered frames and twelve larger ones after them, whose times start again."""
    numbers = numbered(24, 96, 64)
    for name, frames in (("first", numbers[:12, :32, :64]), ("second", numbers[12:])):
        encode(folder / f"{name}.{suffix}", frames, *coding)
    file = folder / f"joined.{suffix}"
    file.write_bytes(b"".join((folder / f"{name}.{suffix}").read_bytes() for name in ("first", "second")))
    return video(file)


@pytest.mark.parametrize(
    ("suffix", "coding"),
    [
        ("ts", ("-c:v", "libx264", "-crf", "1", "-pix_fmt", "yuv420p")),
        ("webm", ("-c:v", "libvpx", "-b:v", "2M")),
        ("avi", ("-c:v", "mjpeg", "-q:v", "1")),
    ],
)
def test_no_frame_is_lost_where_the_size_changes_and_time_starts_again(
    tmp_path: Path, suffix: str, coding: tuple[str, ...]
) -> None:
    file = joined(tmp_path, suffix, *coding)
    assert numbers(file) == list(range(24))
    assert numbers(file, frame_rate=10) == list(range(24))
    assert numbers(file, frame_rate=5) == list(range(0, 24, 2))
    assert {frame.pixels.shape for frame in file.frames()} == {(32, 64, 3)}
    whole, probe = file.measured()
    assert (probe.num_frames, probe.frame_rate) == (24, 10)
    assert numbers(whole, start=1.55, end=2.05) == [16, 17, 18, 19, 20]


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_high_dynamic_range_is_mapped_to_that_of_screens(tmp_path: Path, transfer: str) -> None:
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)[:, None].repeat(3, 1)
    tags = f"setparams=color_trc={transfer}:colorspace=bt2020nc:color_primaries=bt2020:range=tv"
    coding = ("-vf", f"scale=out_color_matrix=bt2020:out_range=tv,{tags}", "-pix_fmt", "yuv420p10le")
    coded = ("-c:v", "libx264", "-crf", "1", "-color_trc", transfer, "-color_primaries", "bt2020")
    frames = np.broadcast_to(ramp, (3, 32, 64, 3)).copy()
    file = video(encode(tmp_path / "hdr.mp4", frames, *coding, *coded, "-colorspace", "bt2020nc"))
    shown = next(file.frames()).pixels[16].astype(int)
    assert np.abs(shown - shown[:, :1]).max() <= 6  # grey stays grey
    assert (np.diff(shown[:, 1]) >= -1).all()
    if transfer == "smpte2084":  # its greys end far above what screens show
        assert shown[ramp[:, 0] > 200].min() > 245
        assert shown[ramp[:, 0] < 60].max() < 50
    else:
        assert np.abs(shown - ramp).max() < 12


def test_what_is_no_video_is_refused(tmp_path: Path, twelve: VideoFile) -> None:
    contents = {
        "empty.mp4": b"",
        "text.mp4": b"hello\n" * 100,
        "cut.mp4": twelve.path.read_bytes()[:600],
        "concat.mp4": f"ffconcat version 1.0\nfile '{twelve.path}'\n".encode(),
        "playlist.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{twelve.path}\n#EXT-X-ENDLIST\n".encode(),
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SourceError, match=f"^{name}: (is empty|holds no video that ffmpeg can read)") as error:
            next(video(tmp_path / name).frames())
        assert "\n" not in str(error.value)
    with pytest.raises(SourceError, match=r"^gone\.mp4: cannot be read: No such file"):
        video(tmp_path / "gone.mp4").probe()


def test_sound_without_pictures_is_refused(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.1", "-c:a", "aac", tmp_path / "sound.mp4")
    with pytest.raises(SourceError, match="holds no video"):
        video(tmp_path / "sound.mp4").probe()


def test_find(tmp_path: Path) -> None:
    names = ["b.mp4", "a.MP4", "sub/c.mp4", "sub/d.webm", "sub/deep/e.mp4", ".hidden/f.mp4", "._a.mp4", "note.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    assert [file.name for file in find(tmp_path)] == ["a.MP4", "b.mp4", "sub/c.mp4", "sub/d.webm"]
    assert [file.name for file in find(tmp_path, ".mp4")] == ["a.MP4", "b.mp4", "sub/c.mp4"]
    assert [file.path for file in find(tmp_path, "txt")] == [tmp_path / "note.txt"]
    assert find(tmp_path / "b.mp4") == [VideoFile(tmp_path / "b.mp4", "b.mp4")]
    assert find(tmp_path / "note.txt") == []
    assert find(tmp_path / "absent") == []

import io
import json
import math
import pickle
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset.annotations import Annotations
from dataset.video import Video, VideoError, VideoWriter, write_video
from utils.command import UserError

AUTHORS_SAMPLE = Path(__file__).parents[1] / "fixtures" / "authors_layout_sample"
FIELDS = ("actions", "rewards", "metadata", "dones")
KNOWN: dict[str, Any] = {
    "actions": [0, 2, 1],
    "rewards": [0.0, -1.5, 1.0],
    "metadata": [{}, {"state": [0.25, 0.5]}, {"inferred_action": 3, "note": None}],
    "dones": [False, False, True],
}


def picture(value: int = 0, size: tuple[int, int] = (6, 4)) -> Image.Image:
    return Image.new("RGB", size, (value, 2 * value, 255 - value))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A video of three frames without annotations."""
    path = tmp_path / "00007"
    path.mkdir()
    for index in range(3):
        picture(index).save(path / f"{index:05d}.png")
    return path


def store_json(folder: Path, **changes: Any) -> None:
    (folder / "annotations.json").write_text(json.dumps({"format_version": 1, **KNOWN} | changes))


def store_pickles(folder: Path, **changes: Any) -> None:
    for field, value in (KNOWN | changes).items():
        (folder / f"{field}.pkl").write_bytes(pickle.dumps(value))


STORES = pytest.mark.parametrize("store", [store_json, store_pickles])


def refusal(action: Callable[[], Any], path: Path) -> str:
    with pytest.raises(VideoError) as caught:
        action()
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def refused_on_opening(folder: Path) -> str:
    return refusal(lambda: Video(folder), folder)


def test_refusals_are_mistakes_the_user_can_mend() -> None:
    assert issubclass(VideoError, UserError)


# Opening


def test_opens_a_video(folder: Path) -> None:
    video = Video(str(folder))
    assert video.path == folder
    assert video.num_frames == len(video) == 3


def test_opening_decodes_no_frame(folder: Path) -> None:
    (folder / "00001.png").write_bytes(b"")
    assert len(Video(folder)) == 3


def test_opened_videos_can_be_sent_to_other_processes(folder: Path) -> None:
    video = pickle.loads(pickle.dumps(Video(folder)))
    assert len(video) == 3
    assert video.frame(2).getpixel((0, 0)) == (2, 4, 253)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".PNG", ".Jpg"])
def test_opens_frames_of_any_extension(tmp_path: Path, suffix: str) -> None:
    for index in range(2):
        picture().save(tmp_path / f"{index:05d}{suffix}")
    video = Video(tmp_path)
    assert len(video) == 2
    assert video.frame(1).size == (6, 4)


@pytest.mark.parametrize("name", ["notes.txt", ".DS_Store", "Thumbs.db", "._00000.png", ".00003.png", "frames.npz"])
def test_other_files_are_ignored(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"x")
    assert len(Video(folder)) == 3


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "no such folder" in refused_on_opening(tmp_path / "absent")


def test_file_instead_of_a_folder_is_refused(folder: Path) -> None:
    assert "no such folder" in refused_on_opening(folder / "00000.png")


def test_folder_without_frames_is_refused(tmp_path: Path) -> None:
    assert "no frames" in refused_on_opening(tmp_path)


@pytest.mark.parametrize("name", ["{:05d}.png", "{:d}.png", "frame{:05d}.png"])
def test_frames_that_count_from_one_are_told_how_to_be_numbered(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "my videos" / "a"
    folder.mkdir(parents=True)
    for number in range(1, 12):
        Image.new("RGB", (8, 8)).save(folder / name.format(number))
    told = f"they count from 1: let python -m dataset.acquisition.prepare --videos '{folder.parent}' number them, or"
    assert (told in refused_on_opening(folder)) == (not name.startswith("frame"))


@pytest.mark.parametrize(
    ("removed", "added", "reported"),
    [
        ("00001.png", None, "00001.png is missing and 00002.png"),
        ("00000.png", None, "00000.png is missing and 00002.png"),
        (None, "00004.png", "00003.png is missing and 00004.png"),
        (None, "preview.png", "00003.png is missing and preview.png"),
        (None, "00001 (copy).png", "00001 (copy).png is out of sequence"),
        (None, "0001.png", "0001.png is out of sequence"),
        (None, "000001.png", "000001.png is out of sequence"),
        (None, "-0001.png", "-0001.png is out of sequence"),
        (None, "00003.jpg", "mixes frames named .jpg and .png"),
        (None, "00001.jpg", "mixes frames named .jpg and .png"),
        (None, "00003.PNG", "mixes frames named .PNG and .png"),
    ],
)
def test_gaps_and_surplus_frames_are_refused(
    folder: Path, removed: str | None, added: str | None, reported: str
) -> None:
    if removed:
        (folder / removed).unlink()
    if added:
        (folder / added).write_bytes(b"")
    assert reported in refused_on_opening(folder)


def test_folders_and_broken_links_are_no_frames(folder: Path) -> None:
    (folder / "00003.png").mkdir()
    (folder / "00004.png").symlink_to("nowhere.png")
    (folder / "00005.png").symlink_to("00005.png")
    assert len(Video(folder)) == 3


# Annotations


def test_authors_sample() -> None:
    videos = {
        split.name: [Video(path) for path in sorted(split.iterdir())] for split in sorted(AUTHORS_SAMPLE.iterdir())
    }
    assert {split: len(of_split) for split, of_split in videos.items()} == {"test": 2, "train": 3, "val": 1}
    for video in (video for of_split in videos.values() for video in of_split):
        annotations = video.annotations
        assert len(video) == len(annotations) == 16
        assert video.frame(0).size == (160, 210)
        assert video.frame(15).mode == "RGB"
        assert set(annotations.actions) <= {0, 1, 2, 3}
        assert annotations.rewards == [0.0] * 16
        assert annotations.dones == [False] * 15 + [True]
        assert annotations.metadata == [{"state": [index / 16, 0.5]} for index in range(16)]
    assert videos["train"][0].annotations.actions == [2, 2, 1, 1, 1, 1, 1, 2, 2, 1, 1, 2, 1, 1, 2, 1]
    assert videos["test"][1].annotations.actions == [1, 1, 1, 0, 2, 2, 2, 2, 1, 0, 0, 0, 0, 1, 2, 2]


@STORES
def test_reads_annotations(folder: Path, store: Callable[..., None]) -> None:
    store(folder)
    assert Video(folder).annotations == Annotations(**KNOWN)


@STORES
def test_stored_none_means_unknown(folder: Path, store: Callable[..., None]) -> None:
    store(folder, **dict.fromkeys(FIELDS, [None] * 3))
    assert Video(folder).annotations == Annotations.unknown(3)
    assert Annotations.unknown(3) == Annotations([0] * 3, [0.0] * 3, [{}, {}, {}], [False] * 3, actions_are_known=False)


@STORES
def test_some_annotations_may_be_unknown(folder: Path, store: Callable[..., None]) -> None:
    store(folder, rewards=[None] * 3)
    annotations = Video(folder).annotations
    assert annotations.rewards == [0.0] * 3
    assert annotations.actions == KNOWN["actions"]
    assert annotations.actions_are_known


def test_absent_annotations_are_unknown(folder: Path) -> None:
    assert Video(folder).annotations == Annotations.unknown(3)


def test_unknown_metadata_is_not_shared_between_frames() -> None:
    annotations = Annotations.unknown(2)
    annotations.metadata[0]["x"] = 1
    assert annotations.metadata[1] == {}


def test_annotations_need_lists_of_one_length() -> None:
    with pytest.raises(ValueError, match=r"\[1, 2\] long"):
        Annotations([0], [0.0, 0.0], [{}], [False])


def test_numpy_values_become_plain(folder: Path) -> None:
    store_pickles(
        folder,
        actions=np.array([0, 2, 1]),
        rewards=[np.float32(0.5), 1, np.int64(2)],
        metadata=[
            {"state": np.array([0, 0.5], np.float32)},
            {"score": np.int64(3), "alive": np.bool_(True)},
            {"position": (np.array(2.5), np.float64(1.5)), "grid": np.eye(2, dtype=np.uint8)},
        ],
        dones=[np.bool_(False), False, np.bool_(True)],
    )
    annotations = Video(folder).annotations
    assert annotations == Annotations(
        [0, 2, 1],
        [0.5, 1.0, 2.0],
        [
            {"state": [0.0, 0.5]},
            {"score": 3, "alive": True},
            {"position": [2.5, 1.5], "grid": [[1, 0], [0, 1]]},
        ],
        [False, False, True],
    )
    assert {type(action) for action in annotations.actions} == {int}
    assert {type(reward) for reward in annotations.rewards} == {float}
    assert {type(done) for done in annotations.dones} == {bool}


def test_metadata_that_is_not_finite_becomes_none(folder: Path) -> None:
    store_pickles(folder, metadata=[{}, {"state": np.array([np.nan, 0.5])}, {"x": -math.inf}])
    assert Video(folder).annotations.metadata == [{}, {"state": [None, 0.5]}, {"x": None}]


@STORES
@pytest.mark.parametrize(
    ("field", "stored", "reported"),
    [
        ("actions", [0, 1], "actions has 2 entries for 3 frames"),
        ("dones", [False] * 4, "dones has 4 entries for 3 frames"),
        ("metadata", [], "metadata has 0 entries for 3 frames"),
        ("actions", {"0": 1}, "actions is a dict"),
        ("rewards", 1.0, "rewards is a float"),
        ("dones", None, "dones is a NoneType"),
        ("metadata", "abc", "metadata is a str"),
        ("actions", [0, None, 1], "actions are known for some frames and unknown"),
        ("metadata", [None, {}, {}], "metadata are known for some frames and unknown"),
        ("actions", [0, True, 1], "frame 1: actions hold True"),
        ("actions", [0, 1, 2.0], "frame 2: actions hold 2.0"),
        ("actions", [0, 1, "2"], "frame 2: actions hold '2'"),
        ("actions", [2**63, 0, 0], "frame 0: actions hold"),
        ("actions", [[1], [1], [1]], "frame 0: actions hold [1]"),
        ("rewards", [0.0, math.nan, 0.0], "frame 1: rewards hold nan"),
        ("rewards", [0.0, 0.0, math.inf], "frame 2: rewards hold inf"),
        ("rewards", [0.0, 0.0, 10**400], "frame 2: rewards hold"),
        ("rewards", [False, 0.0, 0.0], "frame 0: rewards hold False"),
        ("rewards", ["1", 0.0, 0.0], "frame 0: rewards hold '1'"),
        ("dones", [0, 1, 0], "frame 0: dones hold 0"),
        ("dones", [False, False, "no"], "frame 2: dones hold 'no'"),
        ("metadata", [{}, [], {}], "frame 1: metadata hold []"),
        ("metadata", [{}, 3, {}], "frame 1: metadata hold 3"),
    ],
)
def test_wrong_annotations_are_refused(
    folder: Path, store: Callable[..., None], field: str, stored: Any, reported: str
) -> None:
    store(folder, **{field: stored})
    assert reported in refused_on_opening(folder)


@pytest.mark.parametrize(
    ("metadata", "reported"),
    [
        ({"x": {1, 2}}, "a set is not a JSON value"),
        ({"x": b"bytes"}, "a bytes is not a JSON value"),
        ({1: "x"}, "keys that are not strings"),
        ({"x": [{None: 1}]}, "keys that are not strings"),
    ],
)
def test_metadata_that_json_cannot_hold_is_refused(folder: Path, metadata: Any, reported: str) -> None:
    store_pickles(folder, metadata=[{}, metadata, {}])
    message = refused_on_opening(folder)
    assert "frame 1" in message
    assert reported in message


def test_pickles_that_call_code_are_refused(folder: Path) -> None:
    store_pickles(folder)
    (folder / "rewards.pkl").write_bytes(b"cos\nmkdir\n(X\x04\x00\x00\x00traptR.")
    message = refused_on_opening(folder)
    assert message.startswith(str(folder / "rewards.pkl"))
    assert "'os.mkdir'" in message


@pytest.mark.parametrize("absent", FIELDS)
def test_some_of_the_pickles_are_refused(folder: Path, absent: str) -> None:
    store_pickles(folder)
    (folder / f"{absent}.pkl").unlink()
    assert "all of actions.pkl, rewards.pkl, metadata.pkl, dones.pkl" in refused_on_opening(folder)


def test_two_sources_of_annotations_are_refused(folder: Path) -> None:
    store_pickles(folder)
    store_json(folder)
    assert "keep either annotations.json or" in refused_on_opening(folder)


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("", "not valid JSON"),
        ('{"format_version": 1', "not valid JSON"),
        ("\udcff", "not valid JSON"),
        ("9" * 5000, "not valid JSON"),
        ("[" * 100_000, "nested too deep"),
        ("[]", "format_version 1"),
        ("{}", "format_version 1"),
        ('{"format_version": 2, "frames": []}', "format_version 1"),
        ('{"format_version": "1"}', "format_version 1"),
        ('{"format_version": 1}', "other entries"),
        (json.dumps({"format_version": 1, **KNOWN, "extra": []}), "other entries"),
    ],
    ids=lambda text: text[:25],
)
def test_damaged_json_is_refused(folder: Path, text: str, reported: str) -> None:
    (folder / "annotations.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    assert reported in refused_on_opening(folder)


def test_deep_metadata_is_refused(folder: Path) -> None:
    deep = "[" * 500 + "]" * 500
    store_json(folder, metadata=[{}, {}, {"x": "DEEP"}])
    file = folder / "annotations.json"
    file.write_text(file.read_text().replace('"DEEP"', deep))
    assert "more than 32 deep" in refused_on_opening(folder)


def test_large_json_is_refused_unread(folder: Path) -> None:
    with open(folder / "annotations.json", "wb") as file:
        file.truncate(2**40)
    assert "larger than" in refused_on_opening(folder)


def test_annotations_changed_after_opening_are_checked_again(folder: Path) -> None:
    store_json(folder)
    video = Video(folder)
    store_json(folder, actions=[0])
    refusal(lambda: video.annotations, folder)


# Frames


def only_frame(folder: Path, data: bytes | Image.Image, **options: Any) -> Image.Image:
    if isinstance(data, Image.Image):
        stream = io.BytesIO()
        data.save(stream, **{"format": "PNG"} | options)
        data = stream.getvalue()
    (folder / "00000.png").write_bytes(data)
    for index in (1, 2):
        (folder / f"{index:05d}.png").unlink()
    return Video(folder).frame(0)


def row_of(colours: list[Any], mode: str = "RGBA") -> Image.Image:
    image = Image.new(mode, (len(colours), 1))
    for x, colour in enumerate(colours):
        image.putpixel((x, 0), colour)
    return image


def pixels(image: Image.Image) -> list[Any]:
    assert image.mode == "RGB"
    return [image.getpixel((x, 0)) for x in range(image.width)]


def test_frames_are_decoded_exactly(folder: Path) -> None:
    video = Video(folder)
    assert [video.frame(index).getpixel((5, 3)) for index in range(3)] == [(0, 0, 255), (1, 2, 254), (2, 4, 253)]


@pytest.mark.parametrize("index", [-1, 3])
def test_frames_out_of_range_are_index_errors(folder: Path, index: int) -> None:
    with pytest.raises(IndexError, match="00007"):
        Video(folder).frame(index)


def test_alpha_is_composited_on_white(folder: Path) -> None:
    image = row_of([(10, 20, 30, 255), (10, 20, 30, 0), (0, 0, 0, 51)])
    assert pixels(only_frame(folder, image)) == [(10, 20, 30), (255, 255, 255), (204, 204, 204)]


def test_grey_with_alpha_is_composited_on_white(folder: Path) -> None:
    image = row_of([(10, 255), (10, 0), (0, 51)], "LA")
    assert pixels(only_frame(folder, image)) == [(10,) * 3, (255,) * 3, (204,) * 3]


@pytest.mark.parametrize(
    ("transparency", "expected"),
    [
        (None, [(9, 8, 7), (1, 2, 3)]),
        (1, [(9, 8, 7), (255, 255, 255)]),
        (b"\xff\x00", [(9, 8, 7), (255, 255, 255)]),
        (b"\x00\xff", [(255, 255, 255), (1, 2, 3)]),
    ],
)
def test_palettes(folder: Path, transparency: int | bytes | None, expected: list[tuple[int, ...]]) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([9, 8, 7, 1, 2, 3])
    image.putpixel((1, 0), 1)
    options = {} if transparency is None else {"transparency": transparency}
    assert pixels(only_frame(folder, image, **options)) == expected


@pytest.mark.parametrize(
    ("mode", "colours", "transparency", "expected"),
    [
        ("RGB", [(1, 2, 3), (1, 2, 4)], (1, 2, 3), [(255, 255, 255), (1, 2, 4)]),
        ("L", [5, 6], 5, [(255, 255, 255), (6, 6, 6)]),
        ("1", [0, 255], 0, [(255, 255, 255), (255, 255, 255)]),
        ("I;16", [5000, 0x1234], 5000, [(255, 255, 255), (0x12, 0x12, 0x12)]),
    ],
)
def test_a_transparent_colour_becomes_white(
    folder: Path, mode: str, colours: list[Any], transparency: Any, expected: list[Any]
) -> None:
    assert pixels(only_frame(folder, row_of(colours, mode), transparency=transparency)) == expected


@pytest.mark.parametrize(
    ("mode", "colours", "expected"),
    [
        ("L", [0, 77], [(0, 0, 0), (77, 77, 77)]),
        ("1", [0, 255], [(0, 0, 0), (255, 255, 255)]),
        ("I;16", [0, 0x00FF, 0x1234, 0xFFFF], [(0, 0, 0), (0, 0, 0), (0x12, 0x12, 0x12), (255, 255, 255)]),
    ],
)
def test_grey_becomes_rgb(folder: Path, mode: str, colours: list[int], expected: list[Any]) -> None:
    assert pixels(only_frame(folder, row_of(colours, mode))) == expected


def test_cmyk_becomes_rgb(folder: Path) -> None:
    frame = only_frame(folder, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), format="JPEG", quality=100)
    assert frame.mode == "RGB"
    red, green, blue = np.asarray(frame)[4, 4]
    assert red > 250
    assert max(green, blue) < 5


def test_exif_orientation_is_left_alone(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert only_frame(folder, picture(size=(6, 4)), format="JPEG", exif=exif).size == (6, 4)


def png_bytes(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def giant_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10_000)))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not a picture", id="text"),
        pytest.param(png_bytes(picture(size=(64, 64)))[:60], id="truncated"),
        pytest.param(png_bytes(picture(size=(64, 64)))[:30], id="header only"),
        pytest.param(png_bytes(picture()).replace(b"IDAT", b"IDAX"), id="no data"),
        pytest.param(giant_png(8193, 8193), id="67 million pixels"),
        pytest.param(giant_png(10_000, 10_000), id="100 million pixels"),
        pytest.param(giant_png(60_000, 60_000), id="3600 million pixels"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", id="another format"),
    ],
)
def test_damaged_and_giant_frames_are_refused(folder: Path, data: bytes) -> None:
    (folder / "00001.png").write_bytes(data)
    video = Video(folder)
    assert video.frame(0).size == (6, 4)
    assert "write it again or remove the video" in refusal(lambda: video.frame(1), folder / "00001.png")


def test_vanished_frame_is_refused(folder: Path) -> None:
    video = Video(folder)
    (folder / "00002.png").unlink()
    refusal(lambda: video.frame(2), folder / "00002.png")


def test_frames_of_different_sizes_are_refused(folder: Path) -> None:
    picture(size=(6, 5)).save(folder / "00002.png")
    video = Video(folder)
    video.frame(0)
    assert "(6, 5) differs from the size (6, 4)" in refusal(lambda: video.frame(2), folder / "00002.png")
    video.frame(1)


# Writing


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "videos" / "train" / "00000"


def arrays(count: int = 3) -> list[np.ndarray]:
    return [np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8) for seed in range(count)]


def leftovers(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir()) if target.parent.exists() else []


def test_writes_what_is_read_back(target: Path) -> None:
    frames = arrays()
    write_video(target, iter(frames), Annotations(**KNOWN))
    video = Video(target)
    assert video.annotations == Annotations(**KNOWN)
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(np.asarray(video.frame(index)), frame)
    assert leftovers(target) == ["00000"]
    assert sorted(path.name for path in target.iterdir()) == [
        "00000.png",
        "00001.png",
        "00002.png",
        "annotations.json",
    ]


def test_annotations_file_is_json_with_a_line_per_list(target: Path) -> None:
    write_video(target, arrays(), Annotations(**KNOWN))
    text = (target / "annotations.json").read_text()
    assert json.loads(text) == {"format_version": 1, **KNOWN}
    assert [line.split(":")[0] for line in text.splitlines()[1:-1]] == [
        f'"{name}"' for name in ("format_version", *FIELDS)
    ]


def test_authors_annotations_survive_in_our_layout(target: Path) -> None:
    source = Video(AUTHORS_SAMPLE / "train" / "00001")
    write_video(target, (source.frame(index) for index in range(len(source))), source.annotations)
    written = Video(target)
    assert written.annotations == source.annotations
    assert [written.frame(i).tobytes() for i in range(16)] == [source.frame(i).tobytes() for i in range(16)]


def test_written_without_annotations_they_are_unknown(target: Path) -> None:
    write_video(target, arrays())
    assert Video(target).annotations == Annotations.unknown(3)
    assert json.loads((target / "annotations.json").read_text())["actions"] == [None] * 3


def test_unknown_actions_stay_unknown_when_written(target: Path) -> None:
    write_video(target, arrays(), Annotations.unknown(3))
    assert not Video(target).annotations.actions_are_known


def test_pillow_frames_are_converted_like_read_ones(target: Path) -> None:
    write_video(target, [row_of([(0, 0, 0, 51)]), Image.new("L", (1, 1), 7)])
    video = Video(target)
    assert pixels(video.frame(0)) == [(204, 204, 204)]
    assert pixels(video.frame(1)) == [(7, 7, 7)]


def test_views_of_arrays_are_written(target: Path) -> None:
    frame = arrays(1)[0]
    write_video(target, [frame[::-1, ::2]])
    np.testing.assert_array_equal(np.asarray(Video(target).frame(0)), frame[::-1, ::2])


def test_frames_are_streamed(target: Path) -> None:
    def frames() -> Iterator[np.ndarray]:
        for index, frame in enumerate(arrays()):
            assert len(list((target.parent / ".00000.unfinished").iterdir())) == index
            yield frame

    write_video(target, frames())
    assert len(Video(target)) == 3


def test_streaming_writer(target: Path) -> None:
    with VideoWriter(target) as writer:
        info: dict[str, Any] = {"position": np.array([1.5, np.nan], np.float32), "lives": np.int32(3)}
        writer.append(arrays()[0], action=np.int64(2), reward=1, metadata=info, done=np.bool_(False))
        info["lives"] = 2
        writer.append(arrays()[1], action=0, reward=-0.5, metadata=info, done=True)
        assert not target.exists()
    assert Video(target).annotations == Annotations(
        [2, 0],
        [1.0, -0.5],
        [{"position": [1.5, None], "lives": 3}, {"position": [1.5, None], "lives": 2}],
        [False, True],
    )


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_existing_targets_are_refused(target: Path, make: Callable[[Path], None]) -> None:
    target.parent.mkdir(parents=True)
    make(target)
    assert "already exists" in refusal(lambda: write_video(target, arrays()), target)
    assert leftovers(target) == ["00000"]


def test_target_that_appears_meanwhile_is_kept(target: Path) -> None:
    def finish_late() -> None:
        with VideoWriter(target) as writer:
            writer.append(arrays()[0])
            target.mkdir()

    assert "already exists" in refusal(finish_late, target)
    assert list(target.iterdir()) == []
    assert leftovers(target) == ["00000"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_writes_leave_nothing(target: Path, error: type[BaseException]) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield arrays()[0]
        raise error

    with pytest.raises(error):
        write_video(target, frames())
    assert leftovers(target) == []


def test_leftovers_of_a_killed_write_are_replaced(target: Path) -> None:
    unfinished = target.parent / ".00000.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "00099.png").write_bytes(b"half")
    write_video(target, arrays())
    assert len(Video(target)) == 3
    assert leftovers(target) == ["00000"]


def test_empty_videos_are_refused(target: Path) -> None:
    assert "at least one frame" in refusal(lambda: write_video(target, []), target)
    assert leftovers(target) == []


@pytest.mark.parametrize("count", [2, 4])
def test_numbers_of_frames_and_annotations_must_agree(target: Path, count: int) -> None:
    message = refusal(lambda: write_video(target, arrays(count), Annotations(**KNOWN)), target)
    assert "as many annotations as frames" in message
    assert leftovers(target) == []


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 6), np.uint8),
        np.zeros((4, 6, 4), np.uint8),
        np.zeros((3, 4, 6), np.uint8),
        np.zeros((4, 6, 3), np.float32),
        np.zeros((4, 6, 3), np.int64),
        np.zeros((0, 6, 3), np.uint8),
        np.zeros((4, 5, 3), np.uint8),
        [[[0, 0, 0]]],
        None,
    ],
    ids=lambda frame: f"{getattr(frame, 'shape', frame)} {getattr(frame, 'dtype', '')}",
)
def test_wrong_frames_are_refused(target: Path, frame: Any) -> None:
    def write() -> None:
        with VideoWriter(target) as writer:
            writer.append(arrays()[0])
            writer.append(frame)

    assert "frame 1 cannot be written" in refusal(write, target)
    assert leftovers(target) == []


@pytest.mark.parametrize(
    ("known", "reported"),
    [
        ({"action": True}, "actions hold True"),
        ({"action": 1.0}, "actions hold 1.0"),
        ({"reward": math.nan}, "rewards hold nan"),
        ({"reward": "1"}, "rewards hold '1'"),
        ({"metadata": [1]}, "metadata hold [1]"),
        ({"metadata": {"x": {1}}}, "a set is not a JSON value"),
        ({"metadata": {1: 1}}, "keys that are not strings"),
        ({"done": 1}, "dones hold 1"),
    ],
)
def test_wrong_values_are_refused_when_written(target: Path, known: dict[str, Any], reported: str) -> None:
    def write() -> None:
        with VideoWriter(target) as writer:
            writer.append(arrays()[0], **known)

    assert reported in refusal(write, target)
    assert leftovers(target) == []


def test_annotations_of_some_frames_only_are_refused(target: Path) -> None:
    def write() -> None:
        with VideoWriter(target) as writer:
            writer.append(arrays()[0], action=1)
            writer.append(arrays()[1])

    assert "actions are known for some frames" in refusal(write, target)
    assert leftovers(target) == []


def test_frames_too_large_to_be_read_are_not_written(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset.video._MAX_PIXELS", 23)
    assert "6 x 4 pixels are none or too many" in refusal(lambda: write_video(target, arrays()), target)


def test_empty_frames_are_refused(target: Path) -> None:
    refusal(lambda: write_video(target, [np.zeros((0, 6, 3), np.uint8)]), target)


def test_a_refused_frame_may_be_skipped(target: Path) -> None:
    with VideoWriter(target) as writer:
        with pytest.raises(VideoError):
            writer.append(arrays()[0], action=True)
        writer.append(arrays()[1], action=1)
    assert Video(target).annotations.actions == [1]


def test_annotations_too_large_to_be_read_are_not_written(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset.annotations.MAX_BYTES", 100)
    assert "less metadata" in refusal(lambda: write_video(target, arrays(), Annotations(**KNOWN)), target)
    assert leftovers(target) == []

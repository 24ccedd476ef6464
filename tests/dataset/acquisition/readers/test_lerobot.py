import io
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dataset.acquisition.readers import lerobot
from dataset.acquisition.readers.source import Probe, Source, SourceError, SourceFrame
from utils.command import UserError
from utils.mp4_writer import Mp4Writer

CAMERA = "observation.images.top"
LENGTHS = (5, 7, 4)
FRAME_RATE = 15
NUM_FRAMES = sum(LENGTHS)
EPISODES = np.repeat([0, 1, 2], LENGTHS)
POSITIONS = np.concatenate([np.arange(length) for length in LENGTHS])
BRIGHTNESS = np.linspace(20, 230, NUM_FRAMES).round().astype(int)
VECTORS = np.arange(2 * NUM_FRAMES, dtype=np.float32).reshape(-1, 2)


def write_dataset(root: Path, action: Any = None, **info: Any) -> Path:
    """Three episodes in one video file and one table, as LeRobot packs them; frames differ in brightness."""
    camera = {"dtype": "video", "shape": [32, 48, 3], "names": ["height", "width", "channels"]}
    features = {"observation.depth": {"dtype": "video", "info": {"is_depth_map": True}}, CAMERA: camera}
    info = {"codebase_version": "v3.0", "fps": FRAME_RATE, "features": features, **info}
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(info))

    starts = np.cumsum([0, *LENGTHS[:-1]]) / FRAME_RATE
    zeros = [0] * len(LENGTHS)
    table = {"episode_index": [0, 1, 2], "length": LENGTHS, "data/chunk_index": zeros, "data/file_index": zeros}
    table |= {f"videos/{CAMERA}/chunk_index": zeros, f"videos/{CAMERA}/file_index": zeros}
    write_table(root / "meta/episodes/chunk-000/file-000.parquet", table | {f"videos/{CAMERA}/from_timestamp": starts})

    rows = {"episode_index": EPISODES, "frame_index": POSITIONS}
    write_table(root / "data/chunk-000/file-000.parquet", rows if action is None else rows | {"action": action})

    video = root / f"videos/{CAMERA}/chunk-000/file-000.mp4"
    video.parent.mkdir(parents=True)
    video.write_bytes(video_file(info["fps"] or FRAME_RATE))
    return root


@cache
def video_file(frame_rate: float) -> bytes:
    with TemporaryDirectory() as folder:
        with closing(Mp4Writer(Path(folder) / "a.mp4", frame_rate)) as writer:
            for value in BRIGHTNESS:
                writer.write(np.full((32, 48, 3), value, np.uint8))
        return (Path(folder) / "a.mp4").read_bytes()


def write_table(file: Path, columns: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file)


def rewrite_table(file: Path, column: str, values: Any) -> None:
    table = pq.read_table(file)
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, pa.array(values)), file)


def frames_of_episodes(sources: Sequence[Source]) -> Iterator[list[SourceFrame]]:
    """The frames of each episode of the data set, once its name, its size and what it shows were checked."""
    assert [source.name for source in sources] == [f"robot/episode_00000{index}" for index in range(3)]
    assert [source.probe() for source in sources] == [Probe(48, 32, Fraction(15), length) for length in LENGTHS]
    for episode, source in enumerate(sources):
        frames = list(source.frames())
        brightness = [frame.pixels.mean() for frame in frames]
        assert np.abs(np.array(brightness) - BRIGHTNESS[episode == EPISODES]).max() < 4
        yield frames


def test_episodes_are_cut_out_of_their_file(tmp_path: Path) -> None:
    sources = lerobot.find(write_dataset(tmp_path / "robot"))
    for frames in frames_of_episodes(sources):
        assert all(frame.action is None and frame.metadata is None for frame in frames)


@pytest.mark.parametrize("frame_rate", [29.97, 1000 / 33])
def test_times_may_be_rounded(tmp_path: Path, frame_rate: float) -> None:
    write_dataset(tmp_path, fps=frame_rate)
    starts = np.round(np.cumsum([0, *LENGTHS[:-1]]) / frame_rate, 3)
    rewrite_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet", f"videos/{CAMERA}/from_timestamp", starts)
    brightness = [frame.pixels.mean() for frame in lerobot.find(tmp_path)[2].frames()]
    assert np.abs(np.array(brightness) - BRIGHTNESS[EPISODES == 2]).max() < 4


@pytest.mark.parametrize("action", [np.arange(NUM_FRAMES), np.arange(NUM_FRAMES)[:, np.newaxis].tolist()])
def test_whole_numbers_are_actions(tmp_path: Path, action: Any) -> None:
    frames = list(lerobot.find(write_dataset(tmp_path, action))[1].frames())
    assert [frame.action for frame in frames] == list(range(5, 12))
    assert [np.ravel((frame.metadata or {})["action"]).tolist() for frame in frames] == [[t] for t in range(5, 12)]


def test_vectors_are_metadata(tmp_path: Path) -> None:
    frames = list(lerobot.find(write_dataset(tmp_path, VECTORS.tolist()))[1].frames())
    assert [frame.metadata for frame in frames] == [{"action": row.tolist()} for row in VECTORS[EPISODES == 1]]
    assert all(frame.action is None for frame in frames)


def test_fractions_are_metadata(tmp_path: Path) -> None:
    (frame, *_) = lerobot.find(write_dataset(tmp_path, np.full(NUM_FRAMES, 0.5)))[0].frames()
    assert (frame.action, frame.metadata) == (None, {"action": 0.5})


def test_actions_that_are_no_numbers_are_passed_over(tmp_path: Path) -> None:
    (frame, *_) = lerobot.find(write_dataset(tmp_path, ["left"] * NUM_FRAMES))[0].frames()
    assert (frame.action, frame.metadata) == (None, None)


def split_into_version_2_1(root: Path, has_videos: bool = True) -> Path:
    """Make a data set of version 3.0 one of version 2.1, two episodes in each folder."""
    info = json.loads((root / "meta/info.json").read_text())
    (root / "meta/info.json").write_text(json.dumps({**info, "codebase_version": "v2.1", "chunks_size": 2}))
    table = pq.read_table(root / "data/chunk-000/file-000.parquet")
    lines = []
    for episode, length in enumerate(LENGTHS):
        file = root / f"data/chunk-{episode // 2:03d}/episode_{episode:06d}.parquet"
        file.parent.mkdir(exist_ok=True)
        pq.write_table(table.filter(pc.equal(table["episode_index"], episode)), file)
        lines.append(json.dumps({"episode_index": episode, "tasks": ["push"], "length": length}) + "\n")
        if has_videos:
            video = root / f"videos/chunk-{episode // 2:03d}/{CAMERA}/{file.stem}.mp4"
            video.parent.mkdir(parents=True, exist_ok=True)
            with closing(Mp4Writer(video, FRAME_RATE)) as writer:
                for value in BRIGHTNESS[episode == EPISODES]:
                    writer.write(np.full((32, 48, 3), value, np.uint8))
    (root / "meta/episodes.jsonl").write_text("".join(lines))
    for old in ("meta/episodes", f"videos/{CAMERA}"):
        shutil.rmtree(root / old)
    (root / "data/chunk-000/file-000.parquet").unlink()
    return root


def with_pictures(root: Path) -> Path:
    """Put the frames of a data set as pictures into its table."""
    pictures = []
    for value in BRIGHTNESS:
        file = io.BytesIO()
        Image.new("RGB", (48, 32), (value, value, value)).save(file, "PNG")
        pictures.append({"bytes": file.getvalue(), "path": "frame.png"})
    table = root / "data/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(table).append_column(CAMERA, pa.array(pictures)), table, row_group_size=6)
    info = json.loads((root / "meta/info.json").read_text())
    info["features"] = {CAMERA: {"dtype": "image", "shape": [32, 48, 3]}}
    (root / "meta/info.json").write_text(json.dumps(info))
    return root


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
@pytest.mark.parametrize("stored", ["videos", "pictures"])
def test_both_versions_are_read_with_videos_and_with_pictures(tmp_path: Path, version: str, stored: str) -> None:
    root = write_dataset(tmp_path / "robot", np.arange(NUM_FRAMES))
    if stored == "pictures":
        with_pictures(root)
    if version == "v2.1":
        split_into_version_2_1(root, has_videos=stored == "videos")
    sources = lerobot.find(root)
    for episode, frames in enumerate(frames_of_episodes(sources)):
        assert [frame.action for frame in frames] == np.flatnonzero(episode == EPISODES).tolist()


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    root = with_pictures(write_dataset(tmp_path / "robot"))
    table = pq.read_table(root / "data/chunk-000/file-000.parquet")
    pictures = table[CAMERA].to_pylist()
    pictures[2]["bytes"] = pictures[2]["bytes"][:40]
    rewrite_table(root / "data/chunk-000/file-000.parquet", CAMERA, pictures)
    frames = lerobot.find(root)[0].frames()
    assert len([next(frames), next(frames)]) == 2
    with pytest.raises(SourceError, match=r"^robot/episode_000000: frame 2: cannot be read"):
        next(frames)


@pytest.mark.parametrize("line", ["{}", '{"episode_index": 0, "length": 0}', '{"episode_index": -1, "length": 3}', "x"])
def test_a_list_of_episodes_of_another_kind_is_refused(tmp_path: Path, line: str) -> None:
    root = split_into_version_2_1(write_dataset(tmp_path), has_videos=False)
    (root / "meta/episodes.jsonl").write_text(line + "\n")
    with pytest.raises(SourceError, match=r"episodes\.jsonl: cannot be read"):
        lerobot.find(root)
    (root / "meta/episodes.jsonl").write_text("")
    with pytest.raises(SourceError, match=r"episodes\.jsonl: there are no episodes"):
        lerobot.find(root)


def test_other_folders_are_no_data_set(tmp_path: Path) -> None:
    assert lerobot.find(tmp_path) == []
    assert lerobot.find(tmp_path / "missing") == []


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"codebase_version": "v1.6"}, r"is of version v1\.6, but v2\.1 and v3\.0 are read; convert it"),
        ({"fps": 0}, r"info\.json: cannot be read: .*greater than 0"),
        ({"features": {}}, "has no usable feature of the type video"),
        ({"features": {"../../secret": {"dtype": "video"}}}, "has no usable feature of the type video"),
    ],
)
def test_descriptions_of_another_kind_are_refused(tmp_path: Path, info: dict[str, Any], reason: str) -> None:
    write_dataset(tmp_path, **info)
    with pytest.raises(UserError, match=reason):
        lerobot.find(tmp_path)


def test_a_table_of_episodes_without_a_column_is_refused(tmp_path: Path) -> None:
    file = write_dataset(tmp_path) / "meta/episodes/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["length"]), file)
    with pytest.raises(SourceError, match=r"file-000\.parquet: has no column length of numbers"):
        lerobot.find(tmp_path)


@pytest.mark.parametrize(("column", "value"), [("length", 2**40), ("length", 0), ("data/file_index", -1)])
def test_impossible_episodes_are_refused(tmp_path: Path, column: str, value: int) -> None:
    file = write_dataset(tmp_path) / "meta/episodes/chunk-000/file-000.parquet"
    rewrite_table(file, column, [5, value, 4])
    with pytest.raises(SourceError, match=r"file-000\.parquet: cannot be read"):
        lerobot.find(tmp_path)


def test_tables_that_would_fill_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path)
    monkeypatch.setattr("dataset.acquisition.readers.parquet.MAX_VALUES", 2)
    with pytest.raises(SourceError, match="has more than 2 values in a column"):
        lerobot.find(tmp_path)


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("frame_index", POSITIONS[::-1], "does not hold its 5 frames in order"),
        ("episode_index", EPISODES + 1, "does not hold its 5 frames in order"),
        ("action", [None, *range(NUM_FRAMES - 1)], "has actions that are missing or too long"),
        ("action", [[1.0], *[[1.0, 2.0]] * (NUM_FRAMES - 1)], "the actions in .* cannot be read"),
        ("action", [[0.0] * 2000] * NUM_FRAMES, "has actions that are missing or too long"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, column: str, values: Any, reason: str) -> None:
    file = write_dataset(tmp_path / "robot", np.arange(NUM_FRAMES)) / "data/chunk-000/file-000.parquet"
    rewrite_table(file, column, values)
    with pytest.raises(SourceError, match=f"^robot/episode_000000: .*{reason}"):
        list(lerobot.find(tmp_path / "robot")[0].frames())


def test_a_video_that_ends_early_gives_its_frames_and_is_named(tmp_path: Path) -> None:
    write_dataset(tmp_path / "robot")
    rewrite_table(tmp_path / "robot/meta/episodes/chunk-000/file-000.parquet", "length", [5, 7, 6])
    frames = lerobot.find(tmp_path / "robot")[2].frames()
    assert len([next(frames) for _ in range(4)]) == 4
    with pytest.raises(SourceError, match=r"^robot/episode_000002: videos/.*file-000\.mp4: ends after 4 of 6 frames"):
        next(frames)


def test_a_missing_video_is_named(tmp_path: Path) -> None:
    (write_dataset(tmp_path / "robot") / f"videos/{CAMERA}/chunk-000/file-000.mp4").unlink()
    with pytest.raises(SourceError, match=r"robot/episode_000000: videos/.*file-000\.mp4: cannot be read"):
        lerobot.find(tmp_path / "robot")[0].probe()


def test_without_pyarrow_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match="pip install pyarrow"):
        lerobot.find(tmp_path)

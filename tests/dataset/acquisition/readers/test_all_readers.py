from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from dataset.acquisition.readers.all_readers import find_sources
from tests.dataset.acquisition.readers.test_lerobot import write_dataset
from tests.dataset.acquisition.readers.tfrecord_files import write_records
from utils.mp4_writer import Mp4Writer


def write_video(file: Path) -> None:
    with closing(Mp4Writer(file, 10)) as writer:
        writer.write(np.zeros((16, 16, 3), np.uint8))


def test_videos_of_all_kinds_are_found_and_pictures_beside_them_are_not(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.gif")
    with h5py.File(tmp_path / "c.h5", "w") as content:
        content["images"] = np.zeros((2, 3, 8, 8, 3), np.uint8)
    write_records(tmp_path / "d.tfrecords", b"")
    for index in range(2):
        Image.new("RGB", (8, 8)).save(tmp_path / f"thumbnail{index}.png")
    names = [source.name for source in find_sources(tmp_path)]
    assert names == ["a.mp4", "b.gif", "c.h5[0]", "c.h5[1]", "d.tfrecords[0]"]


def test_where_there_is_nothing_else_pictures_are_a_video(tmp_path: Path) -> None:
    for index in range(2):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{index}.png")
    assert [source.name for source in find_sources(tmp_path)] == [tmp_path.name]


def test_a_lerobot_data_set_is_its_episodes_only(tmp_path: Path) -> None:
    write_dataset(tmp_path / "robot")
    write_video(tmp_path / "robot" / "extra.mp4")
    assert [source.name for source in find_sources(tmp_path / "robot")] == [f"robot/episode_00000{i}" for i in range(3)]


def test_a_file_that_is_named_itself_may_have_any_extension(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").rename(tmp_path / "a.download")
    (tmp_path / "note.txt").write_text("no video")
    assert [source.name for source in find_sources(tmp_path / "a.download")] == ["a.download"]
    assert find_sources(tmp_path / "note.txt") == []
    assert find_sources(tmp_path) == []


def test_what_systems_add_is_no_data(tmp_path: Path) -> None:
    for folder in ("__MACOSX", "@eaDir", "game"):
        (tmp_path / folder).mkdir()
        write_video(tmp_path / folder / "a.mp4")
        for index in range(2):
            Image.new("RGB", (8, 8)).save(tmp_path / folder / f"._{index}.png")
    (tmp_path / "game/._a.mp4").write_bytes(b"Mac OS X")
    (tmp_path / ".DS_Store").touch()
    assert [source.name for source in find_sources(tmp_path)] == ["game/a.mp4"]


def test_an_empty_folder_has_no_videos(tmp_path: Path) -> None:
    assert find_sources(tmp_path) == []

"""Labels of footage: numbered, and placed on the frames that are stored."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dataset.acquisition.conversion import ConversionOptions, convert_sources
from dataset.splits import SPLITS, find_split_videos
from dataset.video import Video
from preparation.footage import look_at, share_out
from preparation.label_table import read_labels, store_labels
from utils.command import UserError
from utils.mp4_writer import Mp4Writer


def table(folder: Path, *rows: str) -> Path:
    file = folder / "labels.csv"
    file.write_text("\n".join(["video,frame,action", *rows, ""]))
    return file


@pytest.mark.parametrize(
    ("rows", "wanted", "actions", "names", "count"),
    [
        (["a,0,left", "a,1,stay", "b,0,left"], None, [0, 1, 0], ["left", "stay"], 2),
        (["a,0,2", "a,1,0"], None, [2, 0], None, 3),
        (["a,0,jump"], 3, [0], ["jump", "action 2", "action 3"], 3),
    ],
)
def test_actions_are_numbered_as_they_appear_unless_they_are_numbers(
    rows: list[str], wanted: int | None, actions: list[int], names: list[str] | None, count: int, tmp_path: Path
) -> None:
    labels = read_labels(table(tmp_path, *rows), wanted)
    assert list(labels.actions.values()) == actions
    assert labels.known.action_names == names
    assert labels.known.actions_count == count


@pytest.mark.parametrize(
    ("rows", "actions", "names"),
    [
        (["a,0,0.5", "a,1,-0.4", "b,0,0.6", "b,1,-0.6"], [1, 0, 1, 0], ["-0.5", "0.55"]),
        (["a,0,0 1.5", "a,1,0 0.5", "b,0,0 0.5", "b,1,0 1.5"], [1, 0, 0, 1], ["0 0.5", "0 1.5"]),
    ],
)
def test_continuous_actions_are_sorted_into_groups_named_by_their_middles(
    rows: list[str], actions: list[int], names: list[str], tmp_path: Path
) -> None:
    labels = read_labels(table(tmp_path, *rows), 2)
    assert list(labels.actions.values()) == actions
    assert labels.known.action_names == names
    assert labels.known.described == f"groups 1 {names[0]}, 2 {names[1]}"


def test_actions_that_are_not_all_vectors_of_one_length_are_names(tmp_path: Path) -> None:
    for rows in (["a,0,0.5", "a,1,left"], ["a,0,0.5", "a,1,0.5 1"], ["a,0,nan", "a,1,0.5"]):
        labels = read_labels(table(tmp_path, *rows), None)
        assert labels.known.action_names == [row.rpartition(",")[2] for row in rows]


def test_fewer_different_continuous_actions_than_groups_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels.csv: 2 different action\(s\) make no 3 groups"):
        read_labels(table(tmp_path, "a,0,0.5", "a,1,-0.5", "a,2,0.5"), 3)


def test_labels_fall_on_the_frames_of_the_parts_of_a_film(tmp_path: Path) -> None:
    writer = Mp4Writer(tmp_path / "film.mp4", 20)
    for number in range(100):
        writer.write(np.full((32, 32, 3), 2 * number, np.uint8))
    writer.close()
    footage = look_at(tmp_path / "film.mp4")
    shared = share_out(footage)
    options = ConversionOptions(target_size=(32, 32), frame_rate=10, splits=shared.fractions)
    convert_sources(shared.sources, options, tmp_path / "data", processes=1)
    name = footage.sources[0].name
    labels = read_labels(
        table(tmp_path, f"{name},10,0", f"{name},84,1", f"{name},96,2", f"{name},40,0", f"{name},41,1"), None
    )
    labels.require_frames(footage)
    num_labelled, num_contradicting = store_labels(labels, footage, Fraction(10), tmp_path / "data")
    found = {
        split: {
            index: metadata["label"]
            for path in find_split_videos(tmp_path / "data", split)
            for index, metadata in enumerate(Video(path).annotations.metadata)
            if metadata
        }
        for split in SPLITS
    }
    assert found == {"train": {5: 0}, "val": {2: 1}, "test": {3: 2}}
    assert (num_labelled, num_contradicting) == (3, 1)

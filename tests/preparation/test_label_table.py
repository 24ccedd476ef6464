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
    assert labels.action_names == names
    assert labels.actions_count == count


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

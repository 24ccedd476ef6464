"""Labels of frames: read, written, joined, and those that are none."""

from pathlib import Path

import numpy as np
import pytest

from dataset.annotations import ANNOTATIONS_FILE, Annotations
from dataset.labels import labels_of, write_labels
from dataset.video import Video, write_video

FRAMES = np.zeros((4, 8, 8, 3), np.uint8)


def annotations(metadata: list[dict[str, object]], actions: list[int] | None = None) -> Annotations:
    length = len(metadata)
    known = actions is not None
    return Annotations(actions or [0] * length, [0.0] * length, metadata, [False] * length, actions_are_known=known)


def test_labels_are_entries_of_the_metadata() -> None:
    labels = labels_of([annotations([{"label": 2}, {}, {"x": 1}]), annotations([{"label": 0}], actions=[5])])
    assert labels is not None
    assert labels.tolist() == [2, -1, -1, 0]


def test_true_actions_are_labels_where_there_are_no_others() -> None:
    labels = labels_of([annotations([{}, {}]), annotations([{}, {}], actions=[1, 0])])
    assert labels is not None
    assert labels.tolist() == [-1, -1, 1, 0]


@pytest.mark.parametrize("label", [-1, "left", 1.5, True, None, 2**63])
def test_what_is_no_label(label: object) -> None:
    assert labels_of([annotations([{"label": label}])]) is None


def test_labels_are_written_and_taken_back_and_the_rest_stays(tmp_path: Path) -> None:
    write_video(tmp_path / "video", FRAMES)
    file = tmp_path / "video" / ANNOTATIONS_FILE
    before = file.read_bytes()
    write_labels(tmp_path / "video", {1: 2, 3: 0})
    assert [metadata.get("label") for metadata in Video(tmp_path / "video").annotations.metadata] == [None, 2, None, 0]
    assert not Video(tmp_path / "video").annotations.actions_are_known
    write_labels(tmp_path / "video", {})
    assert file.read_bytes() == before


def test_other_annotations_stay(tmp_path: Path) -> None:
    given = annotations([{"state": [index, 1]} for index in range(4)], actions=[1, 2, 3, 4])
    write_video(tmp_path / "video", FRAMES, given)
    write_labels(tmp_path / "video", {2: 7})
    found = Video(tmp_path / "video").annotations
    assert found.actions == given.actions
    assert found.metadata == [*given.metadata[:2], {"state": [2, 1], "label": 7}, given.metadata[3]]

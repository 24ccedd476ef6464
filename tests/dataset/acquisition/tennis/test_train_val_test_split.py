import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset.acquisition.tennis import train_val_test_split
from dataset.acquisition.tennis.train_val_test_split import split_videos
from dataset.splits import find_split_videos
from dataset.video import Video
from tests.command import Command, files

SPLITS = {"train": [3, 0], "val": [1], "test": [4, 2]}
LENGTHS = (2, 3, 4, 5, 6)
"""Of the clips, by which they can be told apart."""


@pytest.fixture
def clips(make_videos: Callable[..., list[Video]]) -> Path:
    return make_videos(*LENGTHS, folder="clips")[0].path.parent


def lengths(root: Path) -> dict[str, list[int]]:
    return {split: [len(Video(path)) for path in find_split_videos(root, split)] for split in SPLITS}


def test_each_split_is_numbered_in_the_order_of_the_table(clips: Path, tmp_path: Path) -> None:
    split_videos(clips, SPLITS, tmp_path / "splits")
    assert lengths(tmp_path / "splits") == {"train": [5, 2], "val": [3], "test": [6, 4]}
    assert [path.name for path in find_split_videos(tmp_path / "splits", "test")] == ["00000", "00001"]


def test_files_take_no_space_twice(clips: Path, tmp_path: Path) -> None:
    split_videos(clips, SPLITS, tmp_path / "splits")
    for name in ("00004.png", "annotations.json"):
        assert (tmp_path / "splits/train/00000" / name).samefile(clips / "00003" / name)


def test_files_are_copied_where_the_disk_has_no_links(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", refuse)
    split_videos(clips, SPLITS, tmp_path / "splits")
    copy = Video(tmp_path / "splits/train/00000")
    assert np.array_equal(np.asarray(copy.frame(4)), np.asarray(Video(clips / "00003").frame(4)))
    assert copy.annotations == Video(clips / "00003").annotations


def test_an_interrupted_split_is_completed(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link
    linked: list[str] = []

    def interrupted(source: str, target: str) -> None:
        if len(linked) == 10:
            raise KeyboardInterrupt
        linked.append(target)
        link(source, target)

    monkeypatch.setattr(os, "link", interrupted)
    with pytest.raises(KeyboardInterrupt):
        split_videos(clips, SPLITS, tmp_path / "splits")
    monkeypatch.undo()
    assert len(list((tmp_path / "splits").glob("*/0*"))) == 2
    split_videos(clips, SPLITS, tmp_path / "splits")
    split_videos(clips, SPLITS, tmp_path / "whole")
    completed, whole = (
        {path.relative_to(root): contents for path, contents in files(root).items()}
        for root in (tmp_path / "splits", tmp_path / "whole")
    )
    assert completed == whole


def test_command(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "splits.csv").write_text("sequence,split\n00003,train\n00001,validation\n00004,test\n00000,train\n")
    (tmp_path / "missing.csv").write_text("sequence,split\n00009,train\n")
    common = ["--video_directory", str(clips), "--output_directory", str(tmp_path / "out")]
    command = Command(train_val_test_split, tmp_path, monkeypatch, capsys, *common)
    assert command("--splits", str(tmp_path / "splits.csv"))[0] == 0
    assert lengths(tmp_path / "out") == {"train": [5, 2], "val": [3], "test": [6]}
    code, _, err = command("--splits", str(tmp_path / "missing.csv"), "--output_directory", str(tmp_path / "other"))
    assert code == 2
    assert err == f"error: {clips / '00009'}: missing; convert all clips before they are split\n"

from collections.abc import Callable
from pathlib import Path

import pytest

from dataset.splits import SPLITS, find_split_videos
from utils.command import UserError

MakeFolders = Callable[..., Path]


@pytest.fixture
def make_folders(tmp_path: Path) -> MakeFolders:
    def make(*names: str) -> Path:
        for name in names:
            (tmp_path / name).mkdir(parents=True)
        return tmp_path

    return make


def test_split_folders_are_listed_in_sorted_order(make_folders: MakeFolders) -> None:
    root = make_folders("train/00001", "train/00000", "train/.cache", "val/00002")
    (root / "train" / "notes.txt").touch()

    assert find_split_videos(root, "train") == [root / "train/00000", root / "train/00001"]
    assert find_split_videos(str(root), "val") == [root / "val/00002"]


@pytest.mark.parametrize("name", ["__MACOSX", "@eaDir", ".cache"])
def test_folders_that_systems_add_are_no_videos(make_folders: MakeFolders, name: str) -> None:
    root = make_folders("train/a", f"train/{name}", name)
    assert find_split_videos(root, "train") == [root / "train/a"]


@pytest.mark.parametrize("num_videos", [3, 7, 10, 41])
@pytest.mark.parametrize("fractions", [[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3], [0.0, 0.5, 0.5]])
def test_fractions_cut_a_flat_folder_into_consecutive_parts(
    make_folders: MakeFolders, fractions: list[float], num_videos: int
) -> None:
    names = [f"{index:05d}" for index in range(num_videos)]
    root = make_folders(*names, ".cache")

    parts = []
    for split, fraction in zip(SPLITS, fractions, strict=True):
        try:
            part = find_split_videos(root, split, fractions)
        except UserError:
            part = []
        assert abs(len(part) - fraction * num_videos) < 1.001
        parts += [path.name for path in part]
    assert parts == names


def test_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder; .*data\.data_root"):
        find_split_videos(tmp_path / "nowhere", "train")


def test_missing_split_tells_which_splits_were_found(make_folders: MakeFolders) -> None:
    root = make_folders("train/00000", "test/00000", "val")

    with pytest.raises(UserError, match=r"val: no videos .* found test, train, val in "):
        find_split_videos(root, "val")


def test_flat_folder_without_fractions_suggests_them(make_folders: MakeFolders) -> None:
    root = make_folders("clip_a", "clip_b")

    with pytest.raises(UserError, match=r"found 2 folders .* 'clip_a'.*data\.dataset_splits"):
        find_split_videos(root, "train")


def test_split_folders_with_fractions_are_refused(make_folders: MakeFolders) -> None:
    root = make_folders("train/00000", "val/00000")

    with pytest.raises(UserError, match=r"split folders train, val; remove data\.dataset_splits"):
        find_split_videos(root, "train", [0.8, 0.1, 0.1])


def test_empty_root_and_empty_share_are_refused(make_folders: MakeFolders, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no folders"):
        find_split_videos(tmp_path, "train")
    root = make_folders("00000", "00001")
    with pytest.raises(UserError, match="leaves none of its 2 videos to 'val'"):
        find_split_videos(root, "val", [0.9, 0.05, 0.05])

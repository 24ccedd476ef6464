import json
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset

from dataset.acquisition import shard
from dataset.acquisition.shard import ShardOptions
from dataset.annotations import Annotations
from dataset.authors_layout import convert_to_authors_layout
from dataset.shards.index import Index, parse_index
from dataset.shards.local import fetch_split
from dataset.video import Video, write_video
from tests.command import Command, files
from tests.faults import file_size_limit
from tests.synthetic import write_square_videos

VIDEOS = {"train": 3, "val": 1}
LENGTH = 12
SMALL = ("--shard_size", "10KB", "--clip_length", "5", "--overlap", "2")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    write_square_videos(tmp_path / "data", VIDEOS, LENGTH)
    common = ("--data_root", f"{tmp_path}/data", "--output_directory", f"{tmp_path}/shards")
    return Command(shard, tmp_path, monkeypatch, capsys, *common)


def read_index(directory: Path) -> Index:
    return parse_index((directory / "shards.json").read_bytes(), str(directory))


def shard_files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.startswith(".")}


def test_samples_are_those_of_webdataset(command: Command) -> None:
    code, out, _ = command(*SMALL)
    assert code == 0
    assert out.splitlines()[1].startswith("val    1 shards, ")
    assert out.splitlines()[2].endswith(f"/shards: train with --set data.data_root={command.folder}/shards")
    index = read_index(command.folder / "shards")
    for name, split in index.splits.items():
        urls = [str(command.folder / "shards" / each.file) for each in split.shards]
        samples = {each["__key__"]: each for each in webdataset.WebDataset(urls, shardshuffle=False)}
        assert samples.keys() == {clip.key for clip in split.clips}
        for clip in split.clips:
            sample, folder = samples[clip.key], command.folder / "data" / name / clip.video
            annotations = json.loads(sample["annotations.json"])
            last = clip.first_frame + clip.num_frames
            assert annotations["actions"] == Video(folder).annotations.actions[clip.first_frame : last]
            for frame in range(clip.num_frames):
                original = folder / f"{clip.first_frame + frame:05d}.png"
                assert sample[f"{frame:05d}.png"] == original.read_bytes()


def test_training_videos_are_cut_with_overlap_and_others_stay_whole(command: Command) -> None:
    command(*SMALL)
    splits = read_index(command.folder / "shards").splits
    cuts = [(clip.first_frame, clip.num_frames, clip.num_starts) for clip in splits["train"].clips]
    assert sorted(cuts) == sorted([(0, 5, 3), (3, 5, 3), (6, 5, 3), (9, 3, 3)] * VIDEOS["train"])
    assert [(clip.first_frame, clip.num_frames) for clip in splits["val"].clips] == [(0, LENGTH)]
    assert splits["train"].actions == (0, 1, 2)


@pytest.mark.parametrize("length", range(1, 14))
@pytest.mark.parametrize(("clip_length", "overlap"), [(5, 0), (5, 2), (5, 4), (3, 1), (20, 7)])
def test_every_sequence_up_to_the_overlap_starts_in_one_clip(
    tmp_path: Path, length: int, clip_length: int, overlap: int
) -> None:
    write_video(tmp_path / "a", [np.zeros((1, 1, 3), np.uint8)] * length)
    clips = [each.clip for each in shard._cut("train", [Video(tmp_path / "a")], ShardOptions(1, clip_length, overlap))]
    for span in range(1, overlap + 2):
        starts = [
            clip.first_frame + frame
            for clip in clips
            for frame in range(min(clip.num_starts, clip.num_frames - span + 1))
        ]
        assert starts == list(range(length - span + 1))
    assert all(clip.num_frames <= clip_length for clip in clips)
    assert sum(clip.num_starts for clip in clips) == length


def test_shards_are_about_as_large_as_wanted_and_mix_videos(command: Command) -> None:
    command(*SMALL, "--shard_size", "30KB")
    shards = read_index(command.folder / "shards").splits["train"].shards
    assert len(shards) > 2
    assert all(each.num_bytes <= 30_000 + tarfile.RECORDSIZE for each in shards)
    assert any(len({clip.video for clip in each.clips}) > 1 for each in shards)
    assert all([clip.key for clip in each.clips] == sorted(clip.key for clip in each.clips) for each in shards)


def test_files_are_the_same_each_time(command: Command, tmp_path: Path) -> None:
    command(*SMALL)
    written = shard_files(tmp_path / "shards")
    shutil.rmtree(tmp_path / "shards")
    for path in (tmp_path / "data").rglob("*"):
        path.touch()
    command(*SMALL)
    assert shard_files(tmp_path / "shards") == written
    with tarfile.open(tmp_path / "shards/train-000000.tar") as archive:
        members = archive.getmembers()
    assert {(each.mtime, each.uid, each.gid, each.uname, each.mode) for each in members} == {(0, 0, 0, "", 0o644)}


def test_whole_splits_come_back_as_they_were(command: Command, tmp_path: Path) -> None:
    command(*SMALL)
    (folder,) = fetch_split(str(tmp_path / "shards"), "val", tmp_path / "cache")
    video, original = Video(folder), Video(tmp_path / "data/val/00000")
    assert video.annotations == original.annotations
    assert [video.frame(index).tobytes() for index in range(LENGTH)] == [
        original.frame(index).tobytes() for index in range(LENGTH)
    ]


def test_unknown_annotations_stay_unknown(command: Command, tmp_path: Path) -> None:
    write_video(tmp_path / "data/val/00001", [Video(tmp_path / "data/val/00000").frame(0)] * 3)
    command()
    index = read_index(tmp_path / "shards")
    assert (index.splits["train"].actions, index.splits["val"].actions) == ((0, 1, 2), None)
    _, unknown = fetch_split(str(tmp_path / "shards"), "val", tmp_path / "cache")
    assert Video(unknown).annotations == Annotations.unknown(3)


def test_the_authors_pickles_become_json(command: Command, tmp_path: Path) -> None:
    video = tmp_path / "data/val/00000"
    annotations = Video(video).annotations
    convert_to_authors_layout(video)
    command()
    with tarfile.open(tmp_path / "shards/val-000000.tar") as archive:
        assert not [name for name in archive.getnames() if name.endswith(".pkl")]
    (folder,) = fetch_split(str(tmp_path / "shards"), "val", tmp_path / "cache")
    assert Video(folder).annotations == annotations


def test_a_flat_data_set_is_cut_as_a_configuration_says(command: Command, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "data/train", tmp_path / "flat")
    root = ("--data_root", f"{tmp_path}/flat")
    assert "is one flat folder of videos; say which are whose with --dataset_splits" in command.refused(*root)
    assert "must sum to 1, not to 0.5" in command.refused(*root, "--dataset_splits", "0.5", "0", "0")
    assert "-1 is not a number from 0 to 1" in command.refused(*root, "--dataset_splits", "-1", "1", "1")
    assert command(*root, "--dataset_splits", "0.67", "0.33", "0")[0] == 0
    splits = read_index(tmp_path / "shards").splits
    assert {name: [clip.video for clip in split.clips] for name, split in splits.items()} == {
        "train": ["00000", "00001"],
        "val": ["00002"],
    }


@pytest.mark.parametrize("end", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_run_is_completed(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Any
) -> None:
    command(*SMALL)
    expected = shard_files(tmp_path / "shards")
    shutil.rmtree(tmp_path / "shards")

    write = shard.write_archive

    def write_some(stream: Any, members: Iterator[Any]) -> None:
        if (tmp_path / "shards/train-000001.tar").exists():
            stream.write(b"half of a shard")
            raise end
        write(stream, members)

    with monkeypatch.context() as patch:
        patch.setattr(shard, "write_archive", write_some)
        code, _, err = command(*SMALL)
    assert code == (130 if end is KeyboardInterrupt else 2)
    assert err.count("\n") == 1
    assert shard_files(tmp_path / "shards").keys() == {"train-000000.tar", "train-000001.tar"}
    kept = (tmp_path / "shards/train-000000.tar").stat().st_mtime_ns

    assert command(*SMALL)[0] == 0
    assert shard_files(tmp_path / "shards") == expected
    assert (tmp_path / "shards/train-000000.tar").stat().st_mtime_ns == kept


def test_a_full_disk_leaves_no_half_shard(command: Command, tmp_path: Path) -> None:
    with file_size_limit(5000):
        code, _, err = command(*SMALL)
    assert code == 2
    assert "train-000000.tar'; free some space" in err
    assert shard_files(tmp_path / "shards") == {}


def test_what_was_written_is_never_changed(command: Command, tmp_path: Path) -> None:
    command(*SMALL)
    before = files(tmp_path / "shards")
    assert command(*SMALL)[0] == 0
    assert files(tmp_path / "shards") == before

    message = command.refused(*SMALL[:-1], "1")
    assert "shards: was sharded with --overlap 2; repeat these options to complete it, or choose" in message
    shutil.rmtree(tmp_path / "data/train/00000")
    message = command.refused(*SMALL)
    assert "shards.json: has other contents" in message
    (tmp_path / "shards/shards.json").unlink()
    message = command.refused(*SMALL)
    assert "tar: has other contents than the data set has now; choose a new --output_directory" in message


def test_a_new_split_is_not_added_silently(command: Command, tmp_path: Path) -> None:
    command(*SMALL)
    write_square_videos(tmp_path / "data", VIDEOS | {"test": 1}, LENGTH)
    message = command.refused(*SMALL)
    assert "shards.json: has other contents than the data set has now; choose a new --output_directory" in message


def test_mistakes_are_explained(command: Command, tmp_path: Path) -> None:
    assert "nowhere: holds no videos" in command.refused("--data_root", f"{tmp_path}/nowhere")
    assert "--overlap 5: must be less than --clip_length, which is 5" in command.refused(
        "--clip_length", "5", "--overlap", "5"
    )
    for size in ("0MB", "12", "x", "-1KB"):
        assert f"{size} is not a size such as 256MB" in command.refused(f"--shard_size={size}")
    write_video(tmp_path / "data/train/large", [np.zeros((40, 40, 3), np.uint8)])
    assert "frames of 32x32 pixels, but" in command.refused()
    (tmp_path / "data/train/large/00000.png").write_bytes(b"torn")
    assert "large/00000.png: the frame cannot be used" in command.refused()


def test_sizes_are_read() -> None:
    sizes = {"256MB": 256 * 10**6, "1.5GB": 1_500_000_000, "3KB": 3000}
    assert {text: shard._byte_count(text) for text in sizes} == sizes


def test_the_example_is_a_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["shard", *shard.EXAMPLE.split()[3:]])
    arguments = shard.parse_arguments()
    assert (arguments.data_root, arguments.shard_size) == (Path("data/my_game"), 256_000_000)

"""Fetching shards: over HTTP that fails now and then, from folders, and hostile ones."""

import io
import json
import multiprocessing
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataset.shards import local, storage
from dataset.shards.archive import unpack
from dataset.shards.index import ShardClip, parse_index
from dataset.shards.local import fetch_split, lock_folder
from dataset.shards.storage import Storage, is_sharded
from dataset.video import Video
from tests.dataset.sharded import LENGTHS, Server, serving, write_shards
from tests.faults import file_size_limit
from tests.processes import DEADLINE
from utils.command import UserError

MakeVideos = Callable[..., list[Video]]
CLIP = ShardClip(key="000003", video="a", first_frame=0, num_frames=2, num_starts=2)


@pytest.fixture
def shards(make_videos: MakeVideos, tmp_path: Path) -> Path:
    return write_shards(tmp_path / "shards", make_videos(*LENGTHS))


@pytest.fixture
def server(shards: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(storage, "RETRY_DELAYS", (0, 0, 0))
    with serving(shards) as server:
        yield server


def fetch_first(root: str, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    opened = Storage(root)
    return opened.fetch(opened.read_index().splits["train"].shards[0], folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Transfers


def test_a_server_gives_what_a_folder_gives(shards: Path, server: Server, tmp_path: Path) -> None:
    remote = fetch_first(server.url, tmp_path / "remote")
    near = fetch_first(str(shards), tmp_path / "near")
    assert remote.name == near.name
    assert contents(remote) == contents(near)
    assert sorted(path.suffix for path in near.rglob("*.json")) == [".json"] * len(list(near.iterdir()))
    assert contents(tmp_path / "remote").keys() == {f"{remote.name}/{name}" for name in contents(remote)}


@pytest.mark.parametrize("fault", ["status 500", "status 503", "cut", "wrong", "endless"])
def test_failed_transfers_are_repeated(server: Server, tmp_path: Path, fault: str) -> None:
    server.faults["shards.json"] = [] if fault in ("wrong", "endless") else [fault]
    server.faults["train-000000.tar"] = [fault] * 3
    folder = fetch_first(server.url, tmp_path / "fetched")
    assert server.requests["train-000000.tar"] == 4
    assert all(Video(video).num_frames for video in folder.iterdir())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("status 500", "cannot be read: 500"),
        ("cut", r"(cannot be read|ends after)"),
        ("wrong", r"is not the file in the index, by its SHA-256"),
        ("endless", r"is longer than the \d+ bytes in the index"),
    ],
)
def test_what_keeps_failing_is_told_in_one_line(server: Server, tmp_path: Path, fault: str, reason: str) -> None:
    server.faults["train-000000.tar"] = [fault] * 10
    with pytest.raises(
        UserError, match=rf"^{server.url}/train-000000.tar: {reason}.* \(tried 4 times\); mend"
    ) as caught:
        fetch_first(server.url, tmp_path / "fetched")
    assert "\n" not in str(caught.value)
    assert server.requests["train-000000.tar"] == 4
    assert list((tmp_path / "fetched").iterdir()) == []


def test_delays_grow(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    delays: list[float] = []
    monkeypatch.setattr(storage.time, "sleep", delays.append)
    monkeypatch.setattr(storage, "RETRY_DELAYS", (1.0, 2.0, 4.0))
    server.faults["shards.json"] = ["status 500"] * 2
    fetch_first(server.url, tmp_path / "fetched")
    assert delays == [1.0, 2.0]


def test_what_is_missing_is_told_at_once(shards: Path, server: Server, tmp_path: Path) -> None:
    (shards / "train-000000.tar").unlink()
    for root in (server.url, str(shards)):
        with pytest.raises(UserError, match=rf"^{root}/train-000000\.tar: no such file; correct data\.data_root"):
            fetch_first(root, tmp_path / "fetched")
    assert server.requests["train-000000.tar"] == 1


def test_a_file_that_is_not_the_one_in_the_index_is_refused(shards: Path, tmp_path: Path) -> None:
    tar = shards / "train-000000.tar"
    tar.write_bytes(tar.read_bytes()[::-1])
    with pytest.raises(UserError, match=r"train-000000\.tar: is not the file in the index, by its SHA-256; mend"):
        fetch_first(str(shards), tmp_path / "fetched")


def test_a_shard_that_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        fetch_first(server.url, tmp_path / "fetched")
    assert server.requests["train-000000.tar"] == 1


def test_a_full_disk_leaves_nothing(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with file_size_limit(1), pytest.raises(OSError, match="too large"):
        fetch_first(str(shards), tmp_path / "fetched")
    assert list((tmp_path / "fetched").iterdir()) == []

    usage = type(storage.shutil.disk_usage("/"))(1, 1, 0)
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="No space left"):
        fetch_first(str(shards), tmp_path / "fetched")


@pytest.mark.parametrize(("url", "package"), [("http://host/a", "aiohttp"), ("s3://bucket/a", "s3fs")])
def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, url: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"^{url}/shards\.json: needs {package}, which .*: pip install {package}$"):
        Storage(url).read_index()


@pytest.mark.parametrize("url", ["ftp://host/a", "file:///a", "simplecache::http://host/a"])
def test_other_urls_are_refused(url: str) -> None:
    assert is_sharded(url)
    with pytest.raises(UserError, match=r"http://, https://, s3://; correct data\.data_root"):
        Storage(url)


def test_a_folder_is_sharded_if_it_has_an_index(shards: Path, tmp_path: Path) -> None:
    assert is_sharded(shards)
    assert not is_sharded(tmp_path)
    assert not is_sharded(tmp_path / "absent")


# Whole splits


def test_a_whole_split_is_fetched_once(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        videos = fetch_split(server.url, "train", tmp_path / "cache")
    index = Storage(server.url).read_index().splits["train"]
    assert [video.name for video in videos] == sorted(clip.key for clip in index.clips)
    assert {server.requests[shard.file] for shard in index.shards} == {1}
    assert sum(Video(video).num_frames for video in videos) == sum(shard.num_frames for shard in index.shards)
    with pytest.raises(UserError, match="has no split 'val', only train; write shards of it too"):
        fetch_split(server.url, "val", tmp_path / "cache")


def write_other_shards(shards: Path, make_videos: MakeVideos, *lengths: int) -> None:
    """Let a data set have other contents."""
    shutil.rmtree(shards)
    write_shards(shards, make_videos(*lengths, folder="others"))


def kept(cache: Path) -> set[str]:
    return {path.name for path in cache.glob(f"{local.WHOLE}/*/*/")}


def test_what_a_data_set_no_longer_has_is_removed(shards: Path, make_videos: MakeVideos, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    run_in_process(fetch_split, str(shards), "train", cache)
    before = kept(cache)
    assert len(before) > 1
    write_other_shards(shards, make_videos, 5)
    (video,) = fetch_split(str(shards), "train", cache)
    assert kept(cache) == {video.parent.name}
    assert video.parent.name not in before


def test_what_a_process_uses_is_not_removed(shards: Path, make_videos: MakeVideos, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    videos = fetch_split(str(shards), "train", cache)
    write_other_shards(shards, make_videos, 5)
    run_in_process(fetch_split, str(shards), "train", cache)
    assert len(kept(cache)) == 1 + len({video.parent for video in videos})
    assert all(Video(video).frame(0) for video in videos)


def test_data_sets_do_not_remove_each_others_shards(
    shards: Path, make_videos: MakeVideos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    others = write_shards(tmp_path / "other_shards", make_videos(5, folder="others"))
    run_in_process(fetch_split, str(shards), "train", cache)
    before = kept(cache)
    run_in_process(fetch_split, str(others), "train", cache)
    assert before < kept(cache)
    monkeypatch.chdir(tmp_path)
    both = kept(cache)
    run_in_process(fetch_split, "other_shards/", "train", cache)
    assert kept(cache) == both
    assert len(list(cache.glob(f"{local.WHOLE}/*"))) == 2


def run_in_process(function: Callable[..., object], *arguments: object) -> None:
    """Call a function in a process that ends with it."""
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    process.join(DEADLINE)
    assert process.exitcode == 0


# Folders


def test_folders_are_claimed_by_one_at_a_time_and_cleaned(tmp_path: Path) -> None:
    leftovers = tmp_path / "0" / ".killed"
    leftovers.mkdir(parents=True)
    (tmp_path / "0" / "kept").mkdir()
    with lock_folder(tmp_path) as first, lock_folder(tmp_path) as second:
        assert (first, second) == (tmp_path / "0", tmp_path / "1")
    with lock_folder(tmp_path) as again:
        assert again == first
        assert sorted(path.name for path in again.iterdir()) == [local.LOCK, "kept"]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose another folder for shards"), lock_folder(tmp_path / "file"):
        pass


# Hostile files


def archive(path: Path, *members: tuple[str, dict[str, Any], bytes], **options: Any) -> Path:
    """A tar file of members: names, further attributes of their headers, and contents."""
    with tarfile.open(path, "w", **options) as tar:
        for name, attributes, data in members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            for attribute, value in attributes.items():
                setattr(header, attribute, value)
            tar.addfile(header, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("name", "attributes", "reason"),
    [
        ("/etc/000003.00000.png", {}, "is neither a frame nor an annotation"),
        ("../000003.00000.png", {}, "is neither a frame nor an annotation"),
        ("000003.00000.png/x", {}, "is neither a frame nor an annotation"),
        ("000003.00000.pkl", {}, "is not in the index"),
        ("000003.00002.png", {}, "is not in the index"),
        ("000004.00000.png", {}, "is not in the index"),
        ("000004.annotations.json", {}, "is not in the index"),
        ("000003.actions.pkl", {}, "is neither a frame nor an annotation"),
        ("000003.00000.png", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "is not a plain file"),
        ("000003.00000.png", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, "is not a plain file"),
        ("000003.00000.png", {"type": tarfile.CHRTYPE}, "is not a plain file"),
        ("000003.00000.png", {"type": tarfile.FIFOTYPE}, "is not a plain file"),
        ("000003.00000.png", {"type": tarfile.DIRTYPE}, "is not a plain file"),
        ("000003.00000.png", {"type": tarfile.GNUTYPE_SPARSE}, "is not a plain file"),
    ],
)
def test_hostile_members_are_refused_by_name(
    tmp_path: Path, name: str, attributes: dict[str, Any], reason: str
) -> None:
    path = archive(tmp_path / "a.tar", ("000003.00001.png", {}, b"fine"), (name, attributes, b""))
    with pytest.raises(UserError) as caught:
        unpack(path, tmp_path / "out", [CLIP], "here/a.tar")
    assert str(caught.value) == f"here/a.tar: {name!r} {reason}; the shard was not written by this project"
    assert contents(tmp_path / "out") == {"000003/00001.png": b"fine"}
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "out"}


def test_sparse_members_are_refused(tmp_path: Path) -> None:
    sparse = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": "99999", "GNU.sparse.map": "0,4"}
    path = archive(
        tmp_path / "a.tar", ("000003.00000.png", {"pax_headers": sparse}, b"data"), format=tarfile.PAX_FORMAT
    )
    with pytest.raises(UserError, match=r"'000003\.00000\.png' is not a plain file"):
        unpack(path, tmp_path / "out", [CLIP], "a.tar")


def test_twice_the_same_member_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", *[("000003.00000.png", {}, b"data")] * 2)
    with pytest.raises(UserError, match=r"holds 000003\.00000\.png twice"):
        unpack(path, tmp_path / "out", [CLIP], "a.tar")


@pytest.mark.parametrize("size", [2**20, 2**33 - 1, 2**62, 2**80])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_huge_claims_are_refused(tmp_path: Path, size: int, kind: bytes) -> None:
    header = tarfile.TarInfo("000003.00000.png")
    header.size, header.type = size, kind
    (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + b"x" * 512)
    with pytest.raises(UserError, match=r"^a\.tar: ('000003\.00000\.png' claims \d+ bytes|is a damaged tar file)"):
        unpack(tmp_path / "a.tar", tmp_path / "out", [CLIP], "a.tar")
    assert contents(tmp_path / "out") == {}


def test_what_is_no_tar_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no tar file" * 100)
    with pytest.raises(UserError, match=r"^a\.tar: is a damaged tar file: .*; write the shards again$"):
        unpack(tmp_path / "a.tar", tmp_path / "out", [CLIP], "a.tar")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format_version": 2}, "format_version: Input should be 1"),
        ({"frame_size": [10**9, 10**9]}, r"frame_size\.0: "),
        ({"extra": 1}, "extra: Extra inputs are not permitted"),
        ({"shard": {"file": "../../x.tar"}}, r"splits\.train\.shards\.0\.file: String should match"),
        ({"shard": {"sha256": "../"}}, r"sha256: String should match"),
        ({"shard": {"num_bytes": 100}}, r"cannot hold \d+ frames in 100 bytes"),
        ({"clip": {"key": ".."}}, r"clips\.0\.key: String should match"),
        ({"clip": {"num_frames": 10**15}}, r"cannot hold \d+ frames"),
        ({"clip": {"num_starts": 100}}, "has 100 starts in"),
    ],
)
def test_a_hostile_index_is_refused(shards: Path, change: dict[str, Any], problem: str) -> None:
    index = json.loads((shards / "shards.json").read_text())
    first = index["splits"]["train"]["shards"][0]
    first.update(change.pop("shard", {}))
    first["clips"][0].update(change.pop("clip", {}))
    with pytest.raises(UserError, match=rf"^here: is no index of shards that can be read: .*{problem}") as caught:
        parse_index(json.dumps(index | change).encode(), "here")
    assert "\n" not in str(caught.value)

"""Batches out of shards: every sequence once, resumed at any step, never more shards on disk than allowed."""

import itertools
import json
import multiprocessing
import os
import pickle
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataset.acquisition.shard import ShardOptions
from dataset.batching import Batch
from dataset.shards import prefetch
from dataset.shards.loader import ShardedLoader, _joined
from dataset.shards.local import default_directory
from dataset.shards.order import SequenceWalk, ShardOrder
from dataset.shards.prefetch import Request, ShardCache
from dataset.shards.split import ShardedSplit
from dataset.video import Video
from dataset.video_dataset import Samples, SequenceKey, VideoDataset
from tests.dataset.sharded import CLIPS, LENGTHS, OBSERVATIONS, open_split, serving, write_shards
from tests.processes import DEADLINE
from utils.command import UserError

MakeVideos = Callable[..., list[Video]]
LOCAL_SHARDS = 4


@pytest.fixture
def shards(make_videos: MakeVideos, tmp_path: Path) -> Path:
    return write_shards(tmp_path / "shards", make_videos(*LENGTHS))


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., ShardedLoader]:
    """Makes a loader of batches of four sequences of three observations."""

    def load(split: ShardedSplit, first_step: int = 1, **options: Any) -> ShardedLoader:
        chosen: dict[str, Any] = {
            "batch_size": 4,
            "observations_count": lambda _: OBSERVATIONS,
            "directory": tmp_path / "cache",
            "local_shards": LOCAL_SHARDS,
        }
        return ShardedLoader(split, seed=5, first_step=first_step, **(chosen | options))

    return load


Load = Callable[..., ShardedLoader]


def growing(step: int) -> int:
    return 2 + min(step // 6, 2)


def up_and_down(step: int) -> int:
    return (2, 4, 3)[step // 5 % 3]


def sources(batch: Batch) -> list[tuple[int, int]]:
    """The video and frame where each sequence starts, as its first action tells."""
    return [divmod(action, 100) for action in batch.actions[:, 0].tolist()]


def all_sources(observations: int = OBSERVATIONS) -> Counter[tuple[int, int]]:
    return Counter((v, first) for v, length in enumerate(LENGTHS) for first in range(length - observations + 1))


# Order


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_ranks_share_the_shards_of_an_epoch(num_ranks: int) -> None:
    for epoch in range(3):
        dealt = []
        for rank in range(num_ranks):
            windows = ShardOrder(7, 2, 0, rank, num_ranks).windows()
            num_shards = len(range(rank, 7, num_ranks))
            stream = list(itertools.islice(itertools.chain.from_iterable(windows), num_shards * (epoch + 1)))
            dealt += stream[num_shards * epoch :]
        assert sorted(dealt) == list(range(7))


def test_windows_depend_on_seed_and_epoch() -> None:
    first, again, other = (list(itertools.islice(ShardOrder(9, 2, seed).windows(), 10)) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert first[:5] != first[5:]
    assert [len(window) for window in first] == [2, 2, 2, 2, 1] * 2
    assert list(itertools.islice(ShardOrder(9, 2, 0).windows(first=3), 7)) == first[3:]


@pytest.mark.parametrize("schedule", [growing, up_and_down])
def test_a_walk_skips_to_where_it_would_go(shards: Path, schedule: Callable[[int], int]) -> None:
    split = open_split(shards)
    order = ShardOrder(len(split.shards), 2, 5)
    walk = SequenceWalk(split, order)
    uninterrupted = [walk.take(4, schedule(step)) for step in range(1, 121)]
    assert [batch.last_window for batch in uninterrupted][-1] > 2 * len(split.shards)

    for first_step in range(1, 101):
        walk = SequenceWalk(split, order)
        for length, steps in itertools.groupby(range(1, first_step), key=schedule):
            walk.skip(4 * len(list(steps)), length)
        resumed = [walk.take(4, schedule(step)) for step in range(first_step, first_step + 20)]
        assert [batch.keys for batch in resumed] == [
            batch.keys for batch in uninterrupted[first_step - 1 : first_step + 19]
        ]


def test_a_change_of_length_visits_nothing_twice_in_an_epoch(shards: Path) -> None:
    split = open_split(shards)
    walk = SequenceWalk(split, ShardOrder(len(split.shards), 3, 5))
    num_steps = int(split.num_sequences(4).sum()) // 2  # fewer than an epoch has of the longest sequences
    keys = [key for step in range(num_steps) for key in walk.take(2, up_and_down(step)).keys]
    starts = [(key.video, key.first_frame) for key in keys]
    assert len(set(starts)) == len(starts)


def test_skipping_shuffles_only_the_window_where_it_ends(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = open_split(shards)
    shuffled: list[int] = []
    random = ShardOrder.random

    def record(order: ShardOrder, window: int) -> np.random.Generator:
        shuffled.append(window)
        return random(order, window)

    monkeypatch.setattr(ShardOrder, "random", record)
    walk = SequenceWalk(split, ShardOrder(len(split.shards), 2, 5))
    walk.skip(100_000, OBSERVATIONS)
    assert shuffled == [0, walk.window]
    assert walk.window > 10_000


def test_sequences_of_a_window_are_shuffled_across_its_shards(shards: Path) -> None:
    split = open_split(shards)
    walk = SequenceWalk(split, ShardOrder(len(split.shards), 3, 5))
    (window,) = itertools.islice(ShardOrder(len(split.shards), 3, 5).windows(), 1)
    keys = walk.take(int(split.num_sequences(OBSERVATIONS)[window].sum()), OBSERVATIONS).keys
    visited = [split.shard_of(key.video) for key in keys]
    assert set(visited) == set(window)
    assert len(list(itertools.groupby(visited))) > 2 * len(window)


# Batches


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("num_ranks", [1, 2])
def test_an_epoch_has_every_sequence_of_the_uncut_videos_once(
    shards: Path, load: Load, num_ranks: int, num_workers: int
) -> None:
    split = open_split(shards)
    seen = Counter[tuple[int, int]]()
    for rank in range(num_ranks):
        order = np.random.default_rng((5, 0)).permutation(len(split.shards))[rank::num_ranks]
        loader = load(split, rank=rank, num_ranks=num_ranks, num_workers=num_workers, batch_size=num_ranks)
        for batch in itertools.islice(loader, int(split.num_sequences(OBSERVATIONS)[order].sum())):
            seen.update(sources(batch))
    assert any(clip.first_frame for clip in split.videos)
    assert seen == all_sources()


@pytest.mark.parametrize("cache", ["none", "disk"])
def test_batches_hold_what_the_videos_hold(make_videos: MakeVideos, tmp_path: Path, load: Load, cache: str) -> None:
    videos = make_videos(*LENGTHS)
    whole = ShardOptions(CLIPS.shard_size, clip_length=20, overlap=2)
    split = open_split(write_shards(tmp_path / "shards", videos, whole), stacking=2, cache=cache)
    plain = VideoDataset(videos, crop=[0, 0, 12, 10], size=[12, 10], observations_count=3, observation_stacking=2)
    for batch in itertools.islice(load(split), 12):
        keys = [SequenceKey(video, frame, OBSERVATIONS) for video, frame in sources(batch)]
        expected = Batch.of(plain[keys])
        named = [(int(split.videos[key.video].video), key.first_frame) for key in batch.keys]
        assert named == sources(batch)
        for name in ("frames", "actions", "rewards", "dones", "positions"):
            assert torch.equal(getattr(batch, name), getattr(expected, name)), name
        assert batch.frames.stride() == expected.frames.stride()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_run_resumes_with_the_batches_of_an_uninterrupted_one(shards: Path, load: Load, num_workers: int) -> None:
    split = open_split(shards)
    uninterrupted = list(itertools.islice(load(split, observations_count=growing), 40))
    for first_step in (2, 13, 30):
        resumed = load(split, first_step, observations_count=growing, num_workers=num_workers)
        for batch, same in zip(itertools.islice(resumed, 10), uninterrupted[first_step - 1 :], strict=False):
            assert batch.keys == same.keys
            assert torch.equal(batch.frames, same.frames)


def test_resuming_reads_only_what_is_ahead(shards: Path, load: Load) -> None:
    with serving(shards) as server:
        split = open_split(server.url)
        assert server.requests == {"shards.json": 1}
        loader = load(split, first_step=3000)
        batch = next(iter(loader))
        assert len(batch.keys) == 4
    assert sum(server.requests.values()) <= 1 + LOCAL_SHARDS


def test_a_server_that_fails_now_and_then_changes_nothing(
    shards: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset.shards.storage.RETRY_DELAYS", (0, 0))
    expected = [batch.keys for batch in itertools.islice(load(open_split(shards)), 15)]
    with serving(shards) as server:
        split = open_split(server.url)
        for number, shard in enumerate(split.shards):
            server.faults[shard.file] = [("status 500", "cut", "wrong")[number % 3], "status 503"][: 1 + number % 2]
        loaded = load(split, num_workers=1, directory=shards / "elsewhere")
        assert [batch.keys for batch in itertools.islice(loaded, 15)] == expected


def test_a_shard_that_cannot_be_had_ends_training_in_one_line(shards: Path, load: Load) -> None:
    split = open_split(shards)
    for tar in shards.glob("*.tar"):
        tar.unlink()
    before = multiprocessing.active_children()
    with pytest.raises(UserError, match=r"train-\d+\.tar: no such file; correct data\.data_root"):
        next(iter(load(split)))
    assert multiprocessing.active_children() == before


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("cache", ["none", "disk"])
def test_a_damaged_frame_is_told_with_its_shard(
    make_videos: MakeVideos, tmp_path: Path, load: Load, cache: str, num_workers: int
) -> None:
    videos = make_videos(8)
    (videos[0].path / "00005.png").write_bytes(b"torn")
    split = open_split(write_shards(tmp_path / "shards", videos), cache=cache)
    with pytest.raises(UserError, match=r"shards/train-000000\.tar: .*0000\d\.png: the frame cannot be used") as caught:
        list(itertools.islice(load(split, num_workers=num_workers), 9))
    assert "\n" not in str(caught.value)


# Local shards


def local_shards(directory: Path) -> set[str]:
    return {path.name for path in (directory / "0").iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_no_more_shards_are_kept_than_allowed(shards: Path, load: Load, num_workers: int, tmp_path: Path) -> None:
    split = open_split(shards)
    assert len(split.shards) > LOCAL_SHARDS
    seen = set[str]()
    for batch in itertools.islice(load(split, num_workers=num_workers, batch_size=1), 80):
        present = local_shards(tmp_path / "cache")
        assert len(present) <= LOCAL_SHARDS
        assert split.shards[split.shard_of(batch.keys[0].video)].sha256 in present | seen
        seen |= present
    assert len(seen) == len(split.shards)


class RecordedProcess:
    """In the place of the process that fetches: keeps account of what would lie in the folder."""

    def __init__(self, names: list[str], held: set[str]) -> None:
        self.names, self.held = names, held
        self.most = len(held)
        self.num_waiting = 0

    def send(self, request: Request) -> None:
        self.held -= set(request.removed)
        self.held.add(self.names[request.shard])
        self.most = max(self.most, len(self.held))
        self.num_waiting += 1

    def wait(self) -> None:
        assert self.num_waiting, "nothing was requested"
        self.num_waiting -= 1

    def start(self) -> None: ...

    def stop(self) -> None: ...


@pytest.mark.parametrize("num_ranks", [1, 2])
@pytest.mark.parametrize("capacity", [2, 3, 4, 6, 20])
def test_a_shelf_has_what_is_read_and_no_more_than_it_may(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capacity: int, num_ranks: int
) -> None:
    split = open_split(shards)
    (tmp_path / "cache" / "foreign").mkdir(parents=True)
    names = [shard.sha256 for shard in split.shards]
    process = RecordedProcess(names, {"foreign"})
    monkeypatch.setattr(prefetch, "_Process", lambda _: process)
    order = ShardOrder(len(names), capacity // 2, 3, 0, num_ranks)
    windows = list(itertools.islice(order.windows(), 60))
    with ShardCache(split, order.windows(), tmp_path / "cache", capacity) as shelf:
        for first, last in itertools.chain.from_iterable(((n, n), (n, n + 1)) for n in range(50)):
            shelf.require(first, last)
            for window in windows[first : last + 1]:
                assert {names[shard] for shard in window} <= process.held
            ahead = {names[shard] for shard in windows[first + 1]}
            assert ahead <= process.held, "the next window is not being fetched"
    assert process.most <= capacity


@pytest.mark.parametrize("num_workers", [0, 3])
def test_batches_may_be_larger_than_windows(shards: Path, load: Load, num_workers: int) -> None:
    split = open_split(shards)
    num_sequences = int(split.num_sequences(OBSERVATIONS).sum())
    loader = load(split, batch_size=num_sequences, local_shards=2, num_workers=num_workers)
    for batch in itertools.islice(loader, 3):
        assert Counter(sources(batch)) == all_sources()


def test_shards_that_an_earlier_run_fetched_are_used(shards: Path, load: Load) -> None:
    with serving(shards) as server:
        split = open_split(server.url)
        num_sequences = int(split.num_sequences(OBSERVATIONS).sum())
        for _ in range(2):
            for _ in itertools.islice(load(split, batch_size=1, local_shards=20), num_sequences):
                pass
    assert {server.requests[shard.file] for shard in split.shards} == {1}


def test_loaders_side_by_side_do_not_disturb_each_other(shards: Path, load: Load, tmp_path: Path) -> None:
    split = open_split(shards)
    pairs = zip(load(split), load(split, num_workers=1), strict=True)
    for one, other in itertools.islice(pairs, 30):
        assert one.keys == other.keys
        assert torch.equal(one.frames, other.frames)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"0", "1"}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_processes_end_with_the_iteration(shards: Path, load: Load, num_workers: int) -> None:
    before = multiprocessing.active_children()
    for _ in itertools.islice(load(open_split(shards), num_workers=num_workers), 2):
        assert len(multiprocessing.active_children()) == len(before) + num_workers + 1
    assert multiprocessing.active_children() == before


def test_a_fetching_process_that_dies_is_noticed(shards: Path, load: Load) -> None:
    batches = iter(load(open_split(shards)))
    next(batches)
    (process,) = multiprocessing.active_children()
    assert process.pid
    assert os.getpgid(process.pid) == process.pid
    process.kill()
    with pytest.raises(UserError, match=r"the process that fetches shards ended with code -9; if memory was short"):
        list(itertools.islice(batches, 100))


def _load_and_die(root: Path, directory: Path) -> None:
    loader = ShardedLoader(open_split(root), 4, lambda _: OBSERVATIONS, 0, directory=directory)
    next(iter_ := iter(loader))
    (process,) = multiprocessing.active_children()
    (directory / "pid").write_text(str(process.pid))
    os.kill(os.getpid(), signal.SIGKILL)
    del iter_


def test_the_fetching_process_ends_with_a_killed_run(shards: Path, tmp_path: Path) -> None:
    run = multiprocessing.get_context("fork").Process(target=_load_and_die, args=(shards, tmp_path))
    run.start()
    run.join(DEADLINE)
    assert run.exitcode == -signal.SIGKILL
    fetching = Path("/proc", (tmp_path / "pid").read_text())
    start = time.monotonic()
    while fetching.exists() and "State:\tZ" not in (fetching / "status").read_text():
        assert time.monotonic() < start + DEADLINE
        time.sleep(0.01)


# Splits


def test_a_split_tells_what_its_index_knows(shards: Path) -> None:
    split = open_split(shards)
    assert split.num_frames == sum(clip.num_frames for clip in split.videos) > sum(LENGTHS)
    assert split.actions == tuple(sorted(100 * v + frame for v, n in enumerate(LENGTHS) for frame in range(n)))
    assert int(split.num_sequences(OBSERVATIONS).sum()) == all_sources().total()
    assert len(pickle.dumps(split)) < 10_000


def test_mistakes_are_explained(shards: Path, load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"data\.cache 'memory' cannot hold a data set in shards"):
        open_split(shards, cache="memory")
    with pytest.raises(UserError, match=r"all 15 clips are shorter than the 7 frames of 7 observations; lower"):
        open_split(shards, observations=7)
    capsys.readouterr()
    open_split(shards, observations=5)
    assert re.fullmatch(r"warning: .*: \d of 15 clips are skipped: .* 5 observations\n", capsys.readouterr().out)
    with pytest.raises(UserError, match="has no split 'test', only train"):
        ShardedSplit(str(shards), "test", crop=[0, 0, 12, 10], size=[12, 10], observations_count=2)
    with pytest.raises(UserError, match=r"data\.crop \[0, 0, 13, 10\] does not lie inside a frame of 12x10"):
        ShardedSplit(str(shards), "train", crop=[0, 0, 13, 10], size=[12, 10], observations_count=2)
    with pytest.raises(UserError, match=r"has \d+ shards for 100 processes, .* write smaller ones with --shard_size"):
        load(open_split(shards), num_ranks=100)
    (shards / "shards.json").write_text(json.dumps({"format_version": 1}))
    with pytest.raises(UserError, match=r"shards\.json: is no index .*: frame_size: Field required; write the shards"):
        open_split(shards)


def test_positions_that_only_some_shards_know_are_joined() -> None:
    def samples(value: int, positions: np.ndarray | None) -> Samples:
        keys = [SequenceKey(value, 0, 2)]
        column = np.full((1, 2), value)
        return Samples(keys, np.full((1, 2, 4, 4, 3), value, np.uint8), column, column, column, positions)

    known = np.ones((1, 2, 2), np.float32)
    keys = [SequenceKey(video, 0, 2) for video in (1, 2)]
    joined = _joined(keys, [[1], [0]], [samples(2, known), samples(1, None)])
    assert joined.frames[:, 0, 0, 0, 0].tolist() == [1, 2]
    assert joined.actions.tolist() == [[1, 1], [2, 2]]
    assert joined.positions is not None
    assert np.isnan(joined.positions[0]).all()
    assert (joined.positions[1] == 1).all()
    assert _joined(keys, [[1], [0]], [samples(2, None), samples(1, None)]).positions is None


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "playable-video" / "shards"

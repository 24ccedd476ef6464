"""Training, evaluation and play from a data set in shards, as users meet them."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import build_evaluation_dataset
import train
from dataset.acquisition.shard import ShardOptions
from dataset.open import open_training_data
from dataset.shards import storage
from dataset.shards.split import ShardedSplit
from dataset.video import Video
from dataset.video_dataset import VideoDataset
from playing.starting_frames import choose_starting_frames
from tests.command import Command
from tests.dataset.sharded import Server, serving, shard_data_set
from tests.processes import PythonProcess
from tests.rank_processes import start_ranks
from tests.synthetic import SIDE, VIDEO_LENGTH, square_configuration, write_square_videos
from tests.training.test_state import assert_equal
from utils import ranks
from utils.checkpoint import load_checkpoint
from utils.command import UserError

CLIPS = ShardOptions(shard_size=1, clip_length=8, overlap=3)
NUM_SHARDS = 8
"""One clip in each."""

pytestmark = pytest.mark.usefixtures("_without_plots")


@pytest.fixture
def shards(square: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    write_square_videos(square / "data", {"train": 4, "val": 2, "test": 2})
    return shard_data_set(square / "data", tmp_path_factory.mktemp("published") / "shards", CLIPS)


@pytest.fixture
def server(shards: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(storage, "RETRY_DELAYS", (0, 0))
    with serving(shards) as served:
        yield served


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def command(square: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`train.py` that keeps two shards at a time in `cache`."""
    return Command(train, square, monkeypatch, capsys, *options(square, cache))


def options(square: Path, cache: Path) -> list[str]:
    common = (f"data.shard_directory={cache}", "data.local_shards=2", "logging.log_freq=1")
    return ["--config", f"{square}/square.yaml", "--device", "cpu", *overriding(*common)]


def overriding(*overrides: str) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


def learned(square: Path, name: str) -> dict[str, Any]:
    contents = load_checkpoint(square / "checkpoints" / name / "latest.pth.tar")
    del contents["config"]
    return contents


# Training


@pytest.mark.parametrize("frame_cache", ["none", "disk"])
def test_training_on_a_url_that_fails_now_and_then_goes_on_exactly(
    command: Command, square: Path, shards: Path, server: Server, frame_cache: str
) -> None:
    source = overriding(f"data.cache={frame_cache}", f"data.data_root={shards}")
    assert command(*source, *overriding("logging.run_name=whole"))[0] == 0

    source = overriding(f"data.cache={frame_cache}", f"data.data_root={server.url}")
    for max_steps, num_workers in ((5, 0), (6, 2), (12, 0)):
        for number, tar in enumerate(sorted(shards.glob("*.tar"))):
            server.faults[tar.name] = [("status 500", "cut", "wrong", "status 503")[number % 4]]
        parts = (
            "logging.run_name=parts",
            f"training.max_steps={max_steps}",
            f"training.batching.num_workers={num_workers}",
        )
        code, out, err = command(*source, *overriding(*parts))
        assert code == 0, err
        assert "continuing with other data" not in out
    assert_equal(learned(square, "parts"), learned(square, "whole"))
    repeated = {name for name, count in server.requests.items() if count > 1 and name.startswith("train")}
    assert len(repeated) > NUM_SHARDS // 2
    assert learned(square, "whole")["data_state"] == {
        "seed": 0,
        "batch_size": 2,
        "num_videos": NUM_SHARDS,
        "num_frames": 4 * (VIDEO_LENGTH + CLIPS.overlap),
        "local_shards": 2,
        "num_ranks": 1,
    }


def test_training_on_a_bucket_that_fails_now_and_then(
    command: Command, square: Path, shards: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(*overriding(f"data.data_root={shards}", "logging.run_name=local"))[0] == 0

    (shards / "bucket").mkdir()
    for file in shards.iterdir():
        if file.is_file():
            file.rename(shards / "bucket" / file.name)
            server.faults[f"bucket/{file.name}"] = ["wrong"] if "train" in file.name else []
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "name")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    code, _, err = command(*overriding("data.data_root=s3://bucket", "logging.run_name=remote"))
    assert code == 0, err
    assert_equal(learned(square, "remote"), learned(square, "local"))
    assert all(count >= 2 for name, count in server.requests.items() if "train" in name)
    assert "s3://bucket/elsewhere/shards.json: no such file" in command.refused(
        *overriding("data.data_root=s3://bucket/elsewhere")
    )


def test_another_number_of_local_shards_is_another_order(command: Command, shards: Path) -> None:
    source = overriding(f"data.data_root={shards}")
    assert command(*source, *overriding("training.max_steps=2"))[0] == 0
    code, out, _ = command(*source, *overriding("training.max_steps=3", "data.local_shards=4"))
    assert code == 0
    assert "the order of sequences is not that of an uninterrupted run" in out


def test_ctrl_c_saves_and_a_killed_run_goes_on_exactly(square: Path, shards: Path, cache: Path) -> None:
    source = overriding(f"data.data_root={shards}", "training.max_steps=16", "evaluation.eval_freq=8")
    for name, number in (("whole", None), ("interrupted", signal.SIGINT), ("killed", signal.SIGKILL)):
        arguments = [*options(square, cache), *source, *overriding(f"logging.run_name={name}")]
        process = PythonProcess(square, "train.py", *arguments)
        if number:
            progress = square / "results" / name / "metrics.jsonl"
            process.wait_until(lambda progress=progress: progress.exists() and progress.read_text())  # type: ignore[misc]
            process.send(number, to_group=True)
            assert process.wait() == (130 if number == signal.SIGINT else -number)
            assert "Traceback" not in process.stderr
            process = PythonProcess(square, "train.py", *arguments)
        assert process.wait() == 0, process.stderr
        assert_equal(learned(square, name), learned(square, "whole"))


def test_ranks_read_shards_of_their_own_and_go_on_exactly(square: Path, server: Server, cache: Path) -> None:
    def train_in_ranks(name: str, max_steps: int) -> None:
        overrides = (
            f"data.data_root={server.url}",
            f"logging.run_name={name}",
            f"training.max_steps={max_steps}",
            f"data.shard_directory={cache / name}",
        )
        processes = start_ranks(square, 2, "train.py", *options(square, cache), *overriding(*overrides))
        assert [process.wait() for process in processes] == [0, 0], processes[0].stderr

    train_in_ranks("whole", 4)
    read = [{path.name for path in (cache / "whole" / rank).glob("[!.]*/")} for rank in ("0", "1")]
    assert all(read)
    assert not read[0] & read[1]
    counts = {name: count for name, count in server.requests.items() if name.startswith("train")}
    assert set(counts.values()) == {1}, "a shard was read by both ranks in the first epoch"
    for max_steps in (2, 4):
        train_in_ranks("parts", max_steps)
    assert_equal(learned(square, "parts"), learned(square, "whole"))
    assert learned(square, "whole")["data_state"]["num_ranks"] == 2


def test_a_full_disk_ends_training_with_what_was_learned_saved(
    command: Command, square: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_shard, num_opened = ShardedSplit.open_shard, 0

    def fill(split: ShardedSplit, shard: int, folder: Path) -> VideoDataset:
        nonlocal num_opened
        num_opened += 1
        if num_opened > 3:  # counted by the process that fetches
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        return open_shard(split, shard, folder)

    monkeypatch.setattr(ShardedSplit, "open_shard", fill)
    code, _, err = command(*overriding(f"data.data_root={shards}"))
    assert code == 2
    assert err.splitlines()[-1].endswith("; free some space or choose another disk")
    assert "No space left" in err.splitlines()[-1]
    assert learned(square, "square")["step"] > 0


# Evaluation and play


def test_an_evaluation_data_set_is_built_from_a_url(
    command: Command, square: Path, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert command(*overriding(f"data.data_root={server.url}", "training.max_steps=1"))[0] == 0
    monkeypatch.setattr("evaluation.dataset_builder.NUM_STARTS", 1)
    built = []
    for name, root in (("remote", server.url), ("near", f"{square}/data")):
        (square / "checkpoints" / name).symlink_to(square / "checkpoints/square")
        build = Command(build_evaluation_dataset, square, monkeypatch, capsys, *options(square, cache))
        overrides = (f"data.data_root={root}", f"logging.run_name={name}", "evaluation_dataset.max_sequences=4")
        code, _, err = build(*overriding(*overrides))
        assert code == 0, err
        frames = sorted((square / "results" / name / "evaluation_dataset").rglob("*.png"))
        built.append([path.read_bytes() for path in frames])
    assert built[0] == built[1] != []


def test_play_starts_from_the_test_videos_behind_a_url(
    square: Path, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    config = square_configuration(square, f"data.data_root={server.url}", f"data.shard_directory={cache}")
    draw, place = choose_starting_frames(config, None, {})
    assert place == f"{server.url} (test)"
    stack = draw(np.random.default_rng(0))
    assert stack.shape == (1, SIDE, SIDE, 3)
    true = [Video(path) for path in (square / "data/test").iterdir()]
    frames = [np.asarray(video.frame(index)) for video in true for index in range(video.num_frames)]
    assert any(np.array_equal(stack[0], frame) for frame in frames)


# Refused before anything is written


def test_what_cannot_be_read_is_refused(
    command: Command, shards: Path, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(root: object, *overrides: str) -> str:
        return command.refused(*overriding(f"data.data_root={root}", *overrides))

    assert "shards.json: cannot be read: " in refused("http://127.0.0.1:9/shards")
    assert f"{server.url}/nowhere/shards.json: no such file; correct data.data_root" in refused(f"{server.url}/nowhere")
    assert "correct data.data_root" in refused("ftp://host/shards")
    assert "remove data.dataset_splits" in refused(server.url, "data.dataset_splits=[0.8, 0.1, 0.1]")
    assert "data.cache 'memory' cannot hold a data set in shards" in refused(server.url, "data.cache=memory")
    assert "data.local_shards: Input should be greater than or equal to 2" in refused(server.url, "data.local_shards=1")
    blocked = f"data.shard_directory={shards}/shards.json"
    assert "is no folder; choose another folder for shards" in refused(server.url, blocked)
    told = refused(server.url, "training.use_ground_truth_actions=true", "data.actions_count=2")
    assert "has an action 2" in told

    usage = type(storage.shutil.disk_usage("/"))(1, 1, 0)
    with monkeypatch.context() as patch:
        patch.setattr(storage.shutil, "disk_usage", lambda _: usage)
        assert "No space left" in refused(server.url, f"data.shard_directory={cache}/full")
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    assert "needs aiohttp, which is not installed; install it: pip install aiohttp" in refused(server.url)


@pytest.mark.parametrize("absent", ["train", "val"])
def test_a_missing_split_is_refused(
    command: Command, square: Path, tmp_path_factory: pytest.TempPathFactory, absent: str
) -> None:
    (square / "data" / absent).rename(square / absent)
    root = shard_data_set(square / "data", tmp_path_factory.mktemp("partial") / "shards", CLIPS)
    assert f"has no split '{absent}'" in command.refused(*overriding(f"data.data_root={root}"))


def test_unknown_true_actions_are_refused(
    command: Command, square: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (square / "data/train/00000/annotations.json").unlink()
    root = shard_data_set(square / "data", tmp_path_factory.mktemp("unknown") / "shards", CLIPS)
    told = command.refused(*overriding(f"data.data_root={root}", "training.use_ground_truth_actions=true"))
    assert told.startswith(f"{root}: has no true actions")


def test_too_few_shards_for_the_ranks_are_refused(square: Path, shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "num_ranks", lambda: NUM_SHARDS + 1)
    with pytest.raises(UserError, match=r"has 8 shards for 9 processes, .* write smaller ones with --shard_size"):
        open_training_data(square_configuration(square, f"data.data_root={shards}"))

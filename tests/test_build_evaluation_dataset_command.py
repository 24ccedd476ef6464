"""`build_evaluation_dataset.py` as users meet it: interrupted, mis-configured, without what it needs."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import build_evaluation_dataset
from dataset.video import Video
from model.caddy import Caddy
from tests.command import Command, files
from tests.faults import file_size_limit
from tests.rank_processes import start_ranks
from tests.synthetic import SIDE, square_configuration, write_configuration, write_square_videos
from utils import ranks
from utils.checkpoint import LATEST, save_checkpoint

REPOSITORY = Path(build_evaluation_dataset.__file__).parent
ROOT = Path("results/square/evaluation_dataset")
CHECKPOINT = Path("checkpoints/square") / LATEST
NUM_SEQUENCES = 6


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Build from two test videos with a checkpoint of a model that learned nothing."""
    write_square_videos(tmp_path / "data", {"test": 2})
    config = square_configuration(tmp_path)
    torch.manual_seed(0)
    save_checkpoint(tmp_path / CHECKPOINT, {"model": Caddy(config).state_dict()})
    write_configuration(tmp_path)
    monkeypatch.setattr("evaluation.dataset_builder.NUM_STARTS", 1)
    common = ("--config", f"{tmp_path}/square.yaml", "--device", "cpu")
    return Command(
        build_evaluation_dataset,
        tmp_path,
        monkeypatch,
        capsys,
        *common,
        "--set",
        f"evaluation_dataset.max_sequences={NUM_SEQUENCES}",
    )


def at_frame(monkeypatch: pytest.MonkeyPatch, number: int, fault: Callable[[], object]) -> None:
    """Let something happen instead of the writing of a frame."""
    save = Image.Image.save
    count = 0

    def counted(*arguments: Any, **keywords: Any) -> None:
        nonlocal count
        count += 1
        if count == number:
            fault()
        save(*arguments, **keywords)

    monkeypatch.setattr(Image.Image, "save", counted)


def test_a_data_set_is_built_once(command: Command) -> None:
    root = command.folder / ROOT
    code, out, err = command()
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"sequences   {root}/test ({NUM_SEQUENCES})", f"actions     {root}/actions"]
    assert len([Video(path) for path in (root / "test").iterdir()]) == NUM_SEQUENCES
    assert [len(Video(path)) for path in sorted((root / "actions").glob("*/*"))] == [17] * 3
    before = files(command.folder)
    code, out, _ = command()
    assert code == 0
    assert out == f"{root} is complete: {NUM_SEQUENCES} sequences, and nothing they depend on changed\n"
    assert files(command.folder) == before

    code, out, _ = command("--authors_layout")
    assert code == 0
    assert f"{root} is built again, since this changed: the layout" in out
    assert not list(root.rglob("annotations.json"))
    (root / "test" / "00000" / "00000.png").unlink()
    code, out, _ = command("--force")
    assert code == 0
    assert "again" not in out
    assert files(command.folder) == before


def test_ranks_share_the_sequences(command: Command) -> None:
    built: dict[int, dict[Path, bytes | None]] = {}
    for num_ranks in (1, 2):
        overrides = (f"evaluation_dataset.max_sequences={NUM_SEQUENCES}", "evaluation.batching.batch_size=2")
        arguments = ["--config", f"{command.folder}/square.yaml", "--device", "cpu", "--force"]
        arguments += [part for override in overrides for part in ("--set", override)]
        processes = start_ranks(command.folder, num_ranks, "build_evaluation_dataset.py", *arguments)
        assert [process.wait() for process in processes] == [0] * num_ranks, processes[-1].stderr
        assert [process.stdout.count("sequences   ") for process in processes] == [1, 0][:num_ranks]
        built[num_ranks] = files(command.folder / ROOT)
    assert built[1] == built[2]


def test_a_rank_builds_its_share_alone(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "rank", lambda: 1)
    monkeypatch.setattr(ranks, "num_ranks", lambda: 2)
    monkeypatch.setattr(ranks, "wait_for_all", lambda: None)
    assert command("--set", "evaluation.batching.batch_size=2")[0] == 0
    unfinished = command.folder / ROOT.with_name(f".{ROOT.name}.unfinished")
    assert sorted(path.relative_to(unfinished).as_posix() for path in unfinished.glob("*/*")) == [
        "test/00002",
        "test/00003",
    ]
    assert not (command.folder / ROOT).exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_build_goes_on(
    command: Command, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    with monkeypatch.context() as patch:
        at_frame(patch, 3 * 17 + 3 * 4 + 2, lambda: os.kill(os.getpid(), number))
        interrupted, _, err = command()
    assert interrupted == code
    assert "Traceback" not in err
    assert not (command.folder / ROOT).exists()
    outcome, out, _ = command()
    assert outcome == 0
    assert f"continuing after 3 of {NUM_SEQUENCES} sequences" in out
    found = files(command.folder)
    command("--force")
    assert files(command.folder) == found


@pytest.mark.parametrize("frame", [2, 3 * 17 + 5])
def test_a_full_disk(command: Command, monkeypatch: pytest.MonkeyPatch, frame: int) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        at_frame(patch, frame, fail)
        code, _, err = command()
    assert code == 2
    assert err == (
        f"error: {command.folder / ROOT}: cannot be built (No space left on device); make room or mend the folder, "
        "then run the same command again to continue\n"
    )
    assert not (command.folder / ROOT).exists()
    assert command()[0] == 0


def test_a_disk_that_is_full_from_the_start(command: Command) -> None:
    with file_size_limit(1000):
        code, _, err = command()
    assert code == 2
    assert f"{ROOT}: cannot be built (File too large)" in err
    assert err.count("\n") == 1
    assert not (command.folder / ROOT).exists()
    assert command()[0] == 0


def test_one_builder_at_a_time(command: Command) -> None:
    folder = command.folder / ROOT.parent
    folder.mkdir(parents=True)
    script = (
        "import sys, time; from pathlib import Path; from utils.files import only_process\n"
        "with only_process(Path(sys.argv[1]), ''): print(flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(folder)], cwd=REPOSITORY, stdout=subprocess.PIPE)
    try:
        assert holder.stdout
        holder.stdout.readline()
        told = command.refused()
        assert told == f"{folder}: another process is at work there; wait for it, or choose another logging.run_name"
    finally:
        holder.kill()
        holder.communicate()
    assert command()[0] == 0


# Test videos that are too short


def test_short_videos_are_told_and_left_out(command: Command) -> None:
    write_square_videos(command.folder / "data", {"none": 0, "test": 3}, length=3)
    code, out, err = command("--set", "evaluation_dataset.max_sequences=null")
    assert code == 0, err
    assert "data/test: 1 of 3 videos are too short and skipped (00002): they have 3 frames, but 4 observations" in out
    assert f"{ROOT}/test (18)" in out


def test_no_video_is_long_enough(command: Command) -> None:
    told = command.refused("--set", "evaluation.batching.observations_count=13")
    assert "data/test: all 2 videos are too short: they have 12 frames, but 13 observations" in told


# Refused before anything is written


def test_missing_checkpoints(command: Command) -> None:
    (command.folder / CHECKPOINT).unlink()
    assert f"{CHECKPOINT}: no such checkpoint; train one with train.py" in command.refused()


def test_checkpoints_of_other_models_and_torn_ones(command: Command) -> None:
    assert command()[0] == 0
    told = command.refused("--set", "model.width_multiplier=0.5")
    assert "made with another configuration (representation_network.conv1.weight is [4, 3, 3, 3] there and" in told
    path = command.folder / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-50])
    assert f"{path}: damaged, or not a checkpoint" in command.refused()


def test_missing_data(command: Command) -> None:
    nowhere = f"{command.folder}/nowhere"
    assert f"{nowhere}: no such folder" in command.refused("--set", f"data.data_root={nowhere}")
    shutil.rmtree(command.folder / "data" / "test")
    (command.folder / "data" / "train").mkdir()
    assert "no videos of the split 'test'" in command.refused()


def test_a_crop_outside_of_the_frames(command: Command) -> None:
    told = command.refused("--set", f"data.crop=[0, 0, {SIDE}, {SIDE + 16}]")
    assert f"does not lie inside a frame of {SIDE}x{SIDE} pixels" in told


def test_unknown_true_actions(command: Command) -> None:
    (command.folder / "data/test/00001/annotations.json").unlink()
    told = command.refused("--set", "training.use_ground_truth_actions=true")
    assert told.startswith(f"{command.folder}/data/test/00001: has no true actions")


def test_a_corrupt_frame_ends_the_build_and_is_named(command: Command) -> None:
    frame = command.folder / "data/test/00001/00009.png"
    intact = frame.read_bytes()
    frame.write_bytes(b"\x89PNG")
    code, _, err = command()
    assert code == 2
    assert err.startswith(f"error: {frame}: the frame cannot be used")
    assert not (command.folder / ROOT).exists()
    frame.write_bytes(intact)
    assert command()[0] == 0


def test_folders_that_cannot_be_written(command: Command) -> None:
    (command.folder / "file").touch()
    told = command.refused("--set", f"logging.output_root={command.folder}/file/below")
    assert "file is no folder; choose another logging.output_root" in told


def test_what_was_not_built_here_is_not_replaced(command: Command) -> None:
    root = command.folder / ROOT
    root.mkdir(parents=True)
    for arguments in ((), ("--force",)):
        told = command.refused(*arguments)
        assert told == f"{root}: is in the way: without a build.json, it was not built here; move it elsewhere"


def test_a_damaged_description(command: Command) -> None:
    command()
    path = command.folder / ROOT / "build.json"
    path.write_text(json.dumps({"format_version": 1}))
    told = command.refused()
    assert told.startswith(f"{path}: cannot be read (damaged, or written by another version); build the data set again")
    assert command("--force")[0] == 0


def test_help_does_not_wait_for_torch() -> None:
    script = "import sys; import build_evaluation_dataset; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True)
    help_command = [sys.executable, "build_evaluation_dataset.py", "--help"]
    done = subprocess.run(help_command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    assert "example:\n  python build_evaluation_dataset.py --config configs/" in done.stdout
    assert "--authors_layout" in done.stdout

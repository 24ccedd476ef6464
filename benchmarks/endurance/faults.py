"""Faults of the machine: each ends a command with one line and exit code 2, and the run goes on after the remedy."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.endurance.children import Child, Command, Ended, Main, descendants, name_of, told
from benchmarks.endurance.miniature import CLIPS, DATA, RUN_NAME, are_same_weights, arguments, write_trained
from benchmarks.endurance.provoked import (
    build_without_memory,
    play_with_a_jumping_clock,
    play_without_memory,
    read_shards_impatiently,
    train_with_a_jumping_clock,
    train_without_memory,
)
from benchmarks.gpu.setting import REPOSITORY
from dataset.acquisition import convert_video_directory, shard
from training import release
from utils.checkpoint import LATEST, load_checkpoint
from utils.command import EXIT_DONE, EXIT_SKIPPED, EXIT_USER_ERROR

CHECKPOINT = Path("checkpoints", RUN_NAME, LATEST)
NOBODY = 65534
SECONDS_TO_BEGIN = 120.0
LAUNCHER = Command("torch.distributed.run")
LONG = arguments("training.max_steps=40", "training.save_freq=1", "evaluation.eval_freq=40")
CONVERTING = ["--video_directory", CLIPS, "--output_directory", "out/converted", "--target_size", "32", "32"]
SHARDING = ["--data_root", DATA, "--output_directory", "out/shards", "--clip_length", "5", "--overlap", "2"]
IN_OUT = arguments("logging.output_root=out/results", "logging.save_root=out/checkpoints")
SCRIPT = ["--headless", "--actions", "1,2x9,3"]
WRITING: dict[str, tuple[Main, list[str]]] = {
    "train": (Command("train"), IN_OUT),
    "build_evaluation_dataset": (Command("build_evaluation_dataset"), arguments("logging.output_root=out/results")),
    "convert_video_directory": (convert_video_directory.main, [*CONVERTING, "--processes", "1"]),
    "shard": (shard.main, SHARDING),
    "play": (Command("play"), [*arguments(), *SCRIPT, "--play_root", "out/plays"]),
    "release": (release.main, [*arguments(), "--output", "out/model.pth.tar"]),
}
"""Commands that write into the folder `out`."""


def measure(count: int) -> Iterator[tuple[str, Any]]:
    """Provoke every fault `count` times; yields results, `failures` last."""
    failures: list[str] = []
    skipped: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # another user works there too
        prepared = Path(place, "prepared")
        write_trained(prepared)
        for name in tqdm(FAULTS, desc="faults"):
            for _ in range(count):
                folder = Path(place, "work")
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(prepared, folder)
                (folder / "out").mkdir()
                try:
                    failures += told(name, FAULTS[name](folder))
                except _SkipError as error:
                    skipped[name] = str(error)
    yield "faults", [name for name in FAULTS if name not in skipped]
    yield "skipped", skipped
    yield "failures", failures


class _SkipError(Exception):
    """Why a fault cannot be provoked here."""


def refusal(ended: Ended) -> list[str]:
    """What is wrong with the end of a command that should have told of a mistake in one line."""
    lines = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    if ended.code == EXIT_USER_ERROR and len(lines) == 1 and not ended.has_traceback:
        return []
    return [f"ended with {ended.code}: {ended.complaint}"]


def _end(main: Main, given: list[str], folder: Path, user: int | None = None) -> Ended:
    return Child(main, given, folder, user=user).wait()


def _goes_on(main: Main, given: list[str], folder: Path) -> list[str]:
    """What is wrong with a command that should finish."""
    ended = _end(main, given, folder)
    return [] if ended.code == EXIT_DONE else [f"then ended with {ended.code}: {ended.complaint}"]


def _full_disk(folder: Path) -> Iterator[str]:
    for name, (main, given) in WRITING.items():
        with _disk_of(folder / "out", "16k"):
            ended = _end(main, given, folder)
            yield from (f"{name} {problem}" for problem in refusal(ended))
            subprocess.run(["mount", "-o", "remount,size=64m", str(folder / "out")], check=True)
            yield from (f"{name} {problem}" for problem in _goes_on(main, given, folder))


@contextmanager
def _disk_of(folder: Path, size: str) -> Iterator[None]:
    """Have a folder be a disk of a size in memory."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        raise _SkipError(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _read_only_folder(folder: Path) -> Iterator[str]:
    user = None
    if os.geteuid() == 0:
        user = NOBODY  # whom permissions bind
    (folder / "out").chmod(0o555)
    for name, (main, given) in WRITING.items():
        yield from (f"{name} {problem}" for problem in refusal(_end(main, given, folder, user)))
        if found := sorted((folder / "out").iterdir()):
            yield f"{name} wrote {found[0].name}"
    (folder / "out").chmod(0o777)
    for name, (main, given) in WRITING.items():
        yield from (f"{name} {problem}" for problem in _goes_on(main, given, folder))


def _vanished_video(folder: Path) -> Iterator[str]:
    child = _begun(Command("train"), LONG, folder)
    child.send(signal.SIGSTOP)
    for video in (folder / DATA / "train").iterdir():
        video.rename(folder / "out" / video.name)
    child.send(signal.SIGCONT)
    yield from refusal(child.wait())
    step = _step(folder)
    for video in (folder / "out").iterdir():
        video.rename(folder / DATA / "train" / video.name)
    yield from _goes_on(Command("train"), LONG, folder)
    if not (0 < step <= _step(folder) == 40):
        yield f"went from step {step} to {_step(folder)} of 40"


def _vanished_clip(folder: Path) -> Iterator[str]:
    whole = _end(*WRITING["convert_video_directory"], folder)
    num_videos = len(list((folder / "out/converted").glob("0*")))
    shutil.rmtree(folder / "out/converted")
    child = Child(*WRITING["convert_video_directory"], folder)
    _wait_for(lambda: list((folder / "out/converted").glob("0*")), child)
    clips = sorted((folder / CLIPS).iterdir())
    clips[-1].rename(folder / "clip")
    ended = child.wait()
    if ended.code not in (EXIT_SKIPPED, EXIT_DONE) or ended.has_traceback:
        yield f"ended with {ended.code}: {ended.complaint}"
    (folder / "clip").rename(clips[-1])
    yield from _goes_on(*WRITING["convert_video_directory"], folder)
    if whole.code or num_videos != len(list((folder / "out/converted").glob("0*"))):
        yield "another number of videos"


def _two_processes(folder: Path) -> Iterator[str]:
    first = _begun(Command("train"), LONG, folder)
    first.send(signal.SIGSTOP)  # it works on, as far as the other can tell
    yield from refusal(_end(Command("train"), LONG, folder))
    first.send(signal.SIGCONT)
    ended = first.wait()
    if ended.code != EXIT_DONE:
        yield f"the first ended with {ended.code}: {ended.complaint}"


def _dead_rank(folder: Path) -> Iterator[str]:
    launched = ["--standalone", "--nproc_per_node=2", str(REPOSITORY / "train.py"), *LONG]
    child = _begun(LAUNCHER, launched, folder)
    ranks = sorted(pid for pid in descendants(child.pid) if _is_rank(pid))
    os.kill(ranks[-1], signal.SIGKILL)
    ended = child.wait()
    if not ended.code or not re.search("exitcode *: -9 ", ended.stderr):
        yield f"ended with {ended.code}: {ended.complaint}"
    step = _step(folder)
    yield from _goes_on(LAUNCHER, launched, folder)
    if not (0 < step < _step(folder) == 40):
        yield f"went from step {step} to {_step(folder)} of 40"


def _is_rank(pid: int) -> bool:
    return b"LOCAL_RANK=" in Path(f"/proc/{pid}/environ").read_bytes()


def _stalled_network(folder: Path) -> Iterator[str]:
    yield from _goes_on(shard.main, SHARDING, folder)
    with _stalling(folder / "out/shards") as server:
        given = [f"http://127.0.0.1:{server.server_port}"]
        yield from refusal(_end(read_shards_impatiently, given, folder))
        server.is_stalling = False
        yield from _goes_on(read_shards_impatiently, given, folder)


class _Server(ThreadingHTTPServer):
    """Serves a folder; while it stalls, it sends half of each shard and then nothing."""

    is_stalling = True
    daemon_threads = True


class _Handler(SimpleHTTPRequestHandler):
    def copyfile(self, source: Any, outputfile: Any) -> None:
        data = source.read()
        server = self.server
        assert isinstance(server, _Server)
        stalls = server.is_stalling and self.path.endswith(".tar")
        outputfile.write(data[: len(data) // 2] if stalls else data)
        while stalls and server.is_stalling:
            time.sleep(0.05)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _stalling(folder: Path) -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), partial(_Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.is_stalling = False
            server.shutdown()
            thread.join()


def _jumping_clock(folder: Path) -> Iterator[str]:
    expected = _weights(folder)
    shutil.rmtree(folder / "checkpoints")
    yield from _goes_on(train_with_a_jumping_clock, arguments(), folder)
    yield from _other_weights(expected, folder)
    given = [*arguments(), *SCRIPT, "--play_root", "out/plays"]
    for _ in range(2):
        yield from _goes_on(play_with_a_jumping_clock, given, folder)
    if len(list((folder / "out/plays").glob("*/*/*/play.json"))) != 2:
        yield "a recording is missing"


def _lack_of_memory(folder: Path) -> Iterator[str]:
    expected = _weights(folder)
    shutil.rmtree(folder / "checkpoints")
    frequent = arguments("training.save_freq=1")
    yield from refusal(_end(train_without_memory, frequent, folder))
    if not _step(folder):
        yield "no step is kept"
    yield from _goes_on(Command("train"), frequent, folder)
    yield from _other_weights(expected, folder)
    played = [*arguments(), *SCRIPT, "--play_root", "out/plays"]
    cases: list[tuple[Main, Main, list[str]]] = [
        (build_without_memory, Command("build_evaluation_dataset"), arguments()),
        (play_without_memory, Command("play"), played),
    ]
    for without, main, given in cases:
        yield from (f"{name_of(main)} {problem}" for problem in refusal(_end(without, given, folder)))
        yield from (f"{name_of(main)} {problem}" for problem in _goes_on(main, given, folder))


def _begun(main: Main, given: list[str], folder: Path) -> Child:
    """A training that has saved a checkpoint of its own."""
    shutil.rmtree(folder / "checkpoints")
    child = Child(main, given, folder)
    _wait_for((folder / CHECKPOINT).exists, child)
    return child


def _wait_for(condition: Callable[[], object], child: Child) -> None:
    end = time.monotonic() + SECONDS_TO_BEGIN
    while not condition() and child.is_alive and time.monotonic() < end:
        time.sleep(0.01)


def _step(folder: Path) -> int:
    return int(load_checkpoint(folder / CHECKPOINT)["step"]) if (folder / CHECKPOINT).exists() else 0


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = load_checkpoint(folder / CHECKPOINT)["model"]
    return weights


def _other_weights(expected: dict[str, torch.Tensor], folder: Path) -> Iterator[str]:
    if not are_same_weights(_weights(folder), expected):
        yield "other weights than undisturbed"


FAULTS: dict[str, Callable[[Path], Iterator[str]]] = {
    "a full disk": _full_disk,
    "a folder that may only be read": _read_only_folder,
    "videos that vanish": _vanished_video,
    "a clip that vanishes": _vanished_clip,
    "two processes on one run": _two_processes,
    "a rank that dies": _dead_rank,
    "a network that stalls": _stalled_network,
    "a clock that jumps": _jumping_clock,
    "no memory left on the GPU": _lack_of_memory,
}

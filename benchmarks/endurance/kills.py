"""Commands killed at random moments: run again they finish, with the results of an undisturbed run.

After each kill, files with final names are whole, and no process is left after two seconds.
"""

import json
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image, ImageSequence
from tqdm import tqdm

from benchmarks.endurance.children import Child, Command, Ended, Main, descendants, name_of, surviving, told
from benchmarks.endurance.miniature import CLIPS, DATA, RUN_NAME, are_same_weights, arguments, write_trained
from dataset.acquisition import convert_video_directory, shard
from dataset.acquisition.readers.video_file import VideoFile
from playing.recording import read_play
from sharing import share
from training import release
from utils.checkpoint import load_checkpoint
from utils.command import EXIT_DONE, EXIT_USER_ERROR, UserError

SECONDS_TO_VANISH = 2.0
"""Seconds after a kill in which all processes of the command have to end."""

PLAYS = Path("plays") / RUN_NAME
EMPTY_MP4 = 512
"""Bytes that a file of ffmpeg without frames has at most."""

SCRIPT = "1,2x4,3x4,0,2x6"

Contents = dict[str, bytes]
"""The files of a folder by their paths in it."""


@dataclass(frozen=True)
class Work:
    """A command and the part of the prepared folder that it begins without."""

    main: Main
    arguments: list[str]
    begins_without: tuple[str, ...] = ()
    refuses_its_output: bool = False
    """Whether a second run after a whole one is refused."""
    repeats: bool = False
    """Whether a second run adds to what is there instead of completing it."""


def _converting(processes: int) -> Work:
    options = ["--video_directory", CLIPS, "--output_directory", "converted", "--target_size", "32", "32"]
    return Work(convert_video_directory.main, [*options, "--processes", str(processes)])


RECORDED = {"train_videos": 3, "val_videos": 1, "test_videos": 1, "video_length": 20}

WORKS = {
    "train": Work(Command("train"), arguments("training.save_freq=1"), ("results", "checkpoints")),
    "train_with_workers": Work(
        Command("train"),
        arguments("training.batching.num_workers=1", "evaluation.batching.num_workers=1"),
        ("results", "checkpoints"),
    ),
    "build_evaluation_dataset": Work(Command("build_evaluation_dataset"), arguments()),
    "convert_video_directory": _converting(processes=1),
    "convert_video_directory_in_two_processes": _converting(processes=2),
    "record_atari": Work(
        Command("dataset.acquisition.record_atari"),
        ["--game=pong", "--output_directory=recorded", *(f"--{name}={count}" for name, count in RECORDED.items())],
    ),
    "play": Work(
        Command("play"), [*arguments(), "--headless", "--actions", SCRIPT, "--play_root", "plays"], repeats=True
    ),
    "export": Work(
        Command("export"), [*arguments()[:2], *arguments()[4:], "--output_directory", "page", "--runtime", "cdn"]
    ),
    "release": Work(release.main, [*arguments(), "--output", "given/model.pth.tar"], refuses_its_output=True),
    "share": Work(share.main, ["push", *arguments(), "--output_directory", "shared"], refuses_its_output=True),
    "shard": Work(
        shard.main,
        [f"--data_root={DATA}", "--output_directory=shards", "--shard_size=40KB", "--clip_length=5", "--overlap=2"],
    ),
    "export_lerobot": Work(
        Command("dataset.acquisition.export_lerobot"),
        ["--data_root", DATA, "--output_directory", "lerobot"],
        refuses_its_output=True,
    ),
}


def measure(seed: int, count: int) -> Iterator[tuple[str, Any]]:
    """Kill commands `count` times altogether; yields results, `failures` last."""
    random = np.random.default_rng(seed)
    phases: dict[str, Counter[str]] = {}
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as place, tqdm(total=count, desc="kills") as progress:
        prepared = Path(place) / "prepared"
        write_trained(prepared)
        names = [name for number, name in enumerate(WORKS) for _ in range(len(range(number, count, len(WORKS))))]
        for name in dict.fromkeys(names):
            killing = _Killing(WORKS[name], prepared)
            phases[name] = Counter()
            for _ in range(names.count(name)):
                phase, problems = killing.kill_after(random.uniform(0, killing.seconds))
                phases[name][phase] += 1
                failures += told(f"{name}, killed {phase}", problems)
                progress.update()
    total = sum(phases.values(), Counter[str]())
    yield "kills", total.total()
    yield "share_of_kills", {phase: round(number / total.total(), 3) for phase, number in total.most_common()}
    yield "kills_of_each_command", {name: dict(found) for name, found in phases.items()}
    yield "failures", failures


class _Killing:
    """Runs of one command in copies of a folder, which always have the same path."""

    def __init__(self, work: Work, prepared: Path) -> None:
        """Run it undisturbed.

        Raises:
            UserError: it fails.
        """
        self.work = work
        self.prepared = prepared
        self.folder = prepared.with_name("work")
        self._renew()
        ended = self._start().wait()
        if ended.code != EXIT_DONE:
            raise UserError(f"{name_of(work.main)}: ended with {ended.code}, undisturbed: {ended.complaint}")
        self.seconds = ended.seconds
        self.undisturbed = _contents(self.folder)

    def kill_after(self, seconds: float) -> tuple[str, list[str]]:
        """Begin anew, kill after some seconds, and run again; return what was done then, and all that is wrong."""
        self._renew()
        before = _contents(self.folder)
        child = self._start()
        time.sleep(seconds)
        child.send(signal.SIGSTOP)  # so that it starts nothing while its processes are listed
        started = descendants(child.pid)
        child.send(signal.SIGKILL)
        killed = child.wait()
        left = surviving(started, SECONDS_TO_VANISH)
        problems = [f"{len(left)} processes live on"] if left else []
        phase = self._phase(killed, before)
        problems += _torn(self.folder, self.undisturbed)
        num_plays = len(list(self.folder.glob(f"{PLAYS}/*")))
        again = self._start().wait()
        if again.code != EXIT_DONE and not (self.work.refuses_its_output and again.code == EXIT_USER_ERROR):
            problems.append(f"the second run ended with {again.code}: {again.complaint}")
        problems += self._differences(num_plays)
        return phase, problems

    def _renew(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.prepared, self.folder)
        for name in self.work.begins_without:
            shutil.rmtree(self.folder / name)

    def _start(self) -> Child:
        return Child(self.work.main, self.work.arguments, self.folder)

    def _phase(self, killed: Ended, before: Contents) -> str:
        if killed.code != -signal.SIGKILL:
            return "after the end"
        if any(".unfinished" in str(path) for path in self.folder.rglob("*")):
            return "in the middle of a file or folder"
        return "between two files" if _contents(self.folder) != before else "before the first file"

    def _differences(self, num_plays: int) -> list[str]:
        """How the folder differs from that of an undisturbed run."""
        if self.work.repeats:
            return self._differences_of_plays(num_plays)
        found, expected = _contents(self.folder), self.undisturbed
        names = [f"{name} is missing" for name in expected if name not in found]
        names += [f"{name} is too much" for name in found if name not in expected]
        changed = (name for name in expected if name in found and not _is_same(name, found[name], expected[name]))
        left = [str(path.relative_to(self.folder)) for path in self.folder.rglob("*.unfinished")]
        return [*names, *(f"{name} differs" for name in changed), *(f"{name} is left" for name in left)]

    def _differences_of_plays(self, num_before: int) -> list[str]:
        """How the newest recording differs from the undisturbed one, in number of them and in frames."""
        sessions = sorted((self.folder / PLAYS).iterdir())
        if len(sessions) != num_before + 1:
            return [f"there are {len(sessions)} recordings after {num_before}"]
        expected = [data for name, data in sorted(self.undisturbed.items()) if "/frames/" in name]
        # names of a second have a number at the end, which sorts behind
        frames = [path.read_bytes() for path in sorted(sessions[-1].glob("*/frames/*.png"))]
        return [] if frames == expected else ["the second recording has other frames"]


def _contents(folder: Path) -> Contents:
    """All files of a folder, except hidden ones."""
    files = (path for path in folder.rglob("*") if path.is_file())
    relative = ((path, path.relative_to(folder)) for path in sorted(files))
    return {str(name): path.read_bytes() for path, name in relative if not _is_hidden(name)}


def _is_hidden(name: Path) -> bool:
    return any(part.startswith(".") for part in name.parts)


def _is_same(name: str, found: bytes, expected: bytes) -> bool:
    """Whether a file is that of the undisturbed run: weights bit by bit; logs and their plots may repeat themselves."""
    if found == expected or name.endswith((".jsonl", ".html")):
        return True
    if not name.endswith(".pth.tar"):
        return False
    ours, others = (_weights(data) for data in (found, expected))
    return are_same_weights(ours, others)


def _weights(data: bytes) -> dict[str, torch.Tensor]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.pth.tar"
        path.write_bytes(data)
        weights: dict[str, torch.Tensor] = load_checkpoint(path)["model"]
        return weights


def _torn(folder: Path, undisturbed: Contents) -> Iterator[str]:
    """Yield that a file is torn, for each with a final name that is not whole."""
    for name, data in _contents(folder).items():
        try:
            if data != undisturbed.get(name):
                _require_whole(folder / name)
        except Exception as error:  # readers meet torn files with exceptions of many kinds
            yield f"{name} is torn ({type(error).__name__})"


def _require_whole(path: Path) -> None:
    """Read a file to its end; any exception means that it is torn."""
    name = path.name
    if name.endswith(".pth.tar"):
        load_checkpoint(path)
    elif name == "play.json":
        read_play(path)
    elif path.suffix == ".json":
        json.loads(path.read_bytes())
    elif path.suffix == ".jsonl":
        for line in path.read_text().splitlines()[:-1]:  # the last one is completed or removed by the next run
            json.loads(line)
    elif path.suffix == ".yaml":
        yaml.safe_load(path.read_bytes())
    elif path.suffix in (".png", ".gif"):
        with Image.open(path) as image:
            for frame in ImageSequence.Iterator(image):
                frame.load()
    elif path.suffix == ".html":
        if not path.read_text().rstrip().endswith("</html>"):
            raise ValueError("has no end")
    elif path.suffix == ".mp4":
        if path.stat().st_size > EMPTY_MP4:  # else ffmpeg had no frame to write yet
            VideoFile(path, name).probe()
    else:
        raise ValueError("unlike the undisturbed one")

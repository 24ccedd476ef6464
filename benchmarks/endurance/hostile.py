"""Damaged and hostile files of every format that is read.

None may run code, write outside of its folder, take over 1 GiB or 20 s of a processor, or end in a traceback. Each is
read in a process of its own, and refused (exit code 2), skipped (3) or, where the damage does not matter, read (0).
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.endurance.children import Child, told
from benchmarks.endurance.damage import DAMAGES, Damage
from benchmarks.endurance.hostile_formats import Change, Format, formats, sign_shard
from benchmarks.endurance.hostile_readers import read_shards
from benchmarks.endurance.miniature import write_trained
from utils.command import EXIT_DONE, EXIT_SKIPPED, EXIT_USER_ERROR

MOST_SECONDS = 20.0
MOST_GIB = 1.0

VERDICTS = {EXIT_DONE: "read", EXIT_USER_ERROR: "refused", EXIT_SKIPPED: "skipped"}


def measure(seed: int, count: int) -> Iterator[tuple[str, Any]]:
    """Have about `count` files read, an equal number of each format; yields results, `failures` last."""
    failures: list[str] = []
    verdicts: dict[str, Counter[str]] = {}
    slowest, largest = 0.0, 0.0
    with tempfile.TemporaryDirectory() as place:
        reading = _Reading(Path(place))
        num_each = -(-count // len(reading.formats))
        for name in tqdm(reading.formats, desc="hostile", unit="format"):
            verdicts[name] = Counter()
            form = reading.formats[name]
            whole = reading.read(form, lambda _: None)
            failures += told(f"{name}, undamaged", whole.problems or whole.if_not_read)
            for what, change in _changes(form, num_each, np.random.default_rng((seed, len(verdicts)))):
                found = reading.read(form, change)
                verdicts[name][found.verdict] += 1
                slowest, largest = max(slowest, found.seconds), max(largest, found.grown_gib)
                failures += told(f"{name}, {what}", found.problems)
    yield "files", sum(sum(found.values()) for found in verdicts.values())
    yield "verdicts", {name: dict(found) for name, found in verdicts.items()}
    yield "slowest_seconds", round(slowest, 1)
    yield "largest_gib", round(largest, 2)
    yield "not_read_anywhere", "npy, npz and zip files, but for checkpoints, which are zip files"
    yield "failures", failures


def _changes(form: Format, count: int, random: np.random.Generator) -> Iterator[tuple[str, Change]]:
    """Yield `count` changes: those particular to the format, then random damage of each kind in turn."""
    particular = list(form.changes.items())[:count]
    yield from particular
    for number in range(count - len(particular)):
        damage = DAMAGES[number % len(DAMAGES)]
        yield f"{damage.__name__} {number // len(DAMAGES)}", _with(damage, random)


def _with(damage: Damage, random: np.random.Generator) -> Change:
    return lambda path: damage(path, random)


class _Found:
    """What became of one file."""

    def __init__(self, verdict: str, seconds: float, grown_gib: float, problems: list[str], complaint: str) -> None:
        self.verdict = verdict
        self.seconds = seconds
        self.grown_gib = grown_gib
        self.problems = problems
        self.if_not_read = [] if verdict == "read" else [f"{verdict}: {complaint}"]


class _Reading:
    """Reads files in a folder beside one that nothing may change."""

    def __init__(self, place: Path) -> None:
        self._prepared, self._case, self._outside = (place / name for name in ("prepared", "case", "outside"))
        write_trained(self._prepared)
        self.formats = formats(self._prepared)
        self._outside.mkdir()
        (self._outside / "secret").write_text("not to be changed")

    def read(self, form: Format, change: Change) -> _Found:
        """Change a copy of a whole file and have it read."""
        shutil.rmtree(self._case, ignore_errors=True)
        shutil.copytree(self._prepared, self._case, symlinks=True)
        path = self._case.joinpath(*form.files)
        change(path)
        if form.reader is read_shards:
            sign_shard(path)
        beside = _files(self._case.parent, self._case)
        ended = Child(form.reader, form.arguments, self._case, is_limited=True).wait()
        problems = []
        if ended.code not in VERDICTS or ended.has_traceback:
            problems.append(f"ended with {ended.code}: {ended.complaint}")
        elif ended.code == EXIT_USER_ERROR and not ended.complaint.startswith("error: "):
            problems.append(f"is refused with other words than one line: {ended.complaint}")
        if ended.processor_seconds > MOST_SECONDS:
            problems.append(f"took {ended.processor_seconds:.0f} s")
        if ended.grown_gib > MOST_GIB:
            problems.append(f"took {ended.grown_gib:.1f} GiB")
        if _files(self._case.parent, self._case) != beside:
            problems.append("wrote outside of its folder")
            shutil.rmtree(self._outside / "trap", ignore_errors=True)
        verdict = VERDICTS.get(ended.code, "failed")
        return _Found(verdict, ended.processor_seconds, ended.grown_gib, problems, ended.complaint)


def _files(folder: Path, excluded: Path) -> dict[str, float]:
    """The times of all that is in a folder, but for a part of it and for the outputs of children."""
    paths = (path for path in folder.rglob("*") if excluded not in (path, *path.parents))
    return {str(path): path.lstat().st_mtime for path in paths if not path.name.startswith(f".{excluded.name}")}

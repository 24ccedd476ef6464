"""The campaigns of kills, hostile files, faults and long runs, much shortened; and that they find what is broken."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.endurance import __main__ as command
from benchmarks.endurance import endurance, faults, flatness, hostile, kills
from benchmarks.endurance.children import Child, Ended, Main, descendants, surviving
from benchmarks.endurance.damage import DAMAGES, become_a_link
from benchmarks.endurance.gadgets import TRAP
from benchmarks.endurance.hostile_formats import Format
from benchmarks.endurance.kills import WORKS, Work
from utils.command import EXIT_DONE, EXIT_SKIPPED, UserError
from utils.measurement import RESULTS_DIRECTORY


def results(campaign: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    return dict(campaign)


def test_killed_commands_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("train", "convert_video_directory_in_two_processes", "play", "shard")
    monkeypatch.setattr(kills, "WORKS", {name: WORKS[name] for name in names})
    found = results(kills.measure(seed=0, count=4))
    assert found["failures"] == []
    assert found["kills"] == 4
    assert sum(found["share_of_kills"].values()) == pytest.approx(1, abs=0.01)
    assert found["kills_of_each_command"].keys() == set(names)


@pytest.mark.parametrize(
    ("campaign", "key", "least"), [("kills", "kills", 100), ("hostile", "files", 300), ("faults", "faults", 9)]
)
def test_the_committed_campaigns_found_nothing(campaign: str, key: str, least: int) -> None:
    paths = list(RESULTS_DIRECTORY.glob(f"endurance.{campaign}.*.json"))
    assert paths
    for path in paths:
        found = json.loads(path.read_text())["results"]
        assert found["failures"] == []
        assert (found[key] if isinstance(found[key], int) else len(found[key])) >= least


def test_the_committed_long_runs_stayed_as_they_were() -> None:
    paths = list(RESULTS_DIRECTORY.glob("endurance.endurance.*.json"))
    assert paths
    for path in paths:
        found = json.loads(path.read_text())["results"]
        assert found["failures"] == []
        assert (found["training"]["steps"], found["play"]["frames"]) == (5000, 20_000)
        assert all(found[kind]["mb_per_1000"] < endurance.MOST_MB_PER_1000 for kind in ("training", "play", "page"))
        assert all(found[kind]["last_tenth_over_first"] < endurance.MOST_SLOWING for kind in ("play", "page"))


def test_hostile_files_do_no_harm() -> None:
    found = results(hostile.measure(seed=0, count=16))
    assert found["failures"] == []
    assert found["files"] == 16
    assert all(set(verdicts) <= {"read", "refused", "skipped"} for verdicts in found["verdicts"].values())


def test_faults_end_commands_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("a full disk", "a folder that may only be read", "no memory left on the GPU")
    monkeypatch.setattr(faults, "FAULTS", {name: faults.FAULTS[name] for name in names})
    writing = {name: faults.WRITING[name] for name in ("release", "convert_video_directory")}
    monkeypatch.setattr(faults, "WRITING", writing)
    found = results(faults.measure(count=1))
    assert found["failures"] == []
    assert {*found["faults"], *found["skipped"]} == set(names)


def test_long_runs_are_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = tmp_path / "report.json"
    monkeypatch.setattr(endurance, "MOST_MB_PER_1000", 1e6)  # so few steps tell nothing
    monkeypatch.setattr(endurance, "MOST_SLOWING", 100)
    options = ["endurance", "--count", "60", "--frames", "300", "--json", str(report)]
    monkeypatch.setattr(sys, "argv", ["benchmarks.endurance", *options])
    assert command.main() == EXIT_DONE
    found = json.loads(report.read_text())["results"]
    assert (found["training"]["steps"], found["play"]["frames"]) == (60, 300)
    assert found["play"]["median_milliseconds"] > 0
    assert found["failures"] == []


def write_slowly() -> int:
    """Writes a file in two parts, far apart, while a process of its own lives on."""
    subprocess.Popen(["sleep", "10"])
    with Path("late.json").open("w") as file:
        file.write('{"half": ')
        file.flush()
        time.sleep(6 if not Path("killed").exists() else 0)
        Path("killed").touch()
        file.write("1}")
    return EXIT_DONE


def test_torn_files_and_living_processes_are_found(tmp_path: Path) -> None:
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared/killed").touch()
    killing = kills._Killing(Work(write_slowly, []), tmp_path / "prepared")
    (tmp_path / "prepared/killed").unlink()
    phase, problems = killing.kill_after(2)
    assert phase == "between two files"
    assert problems[:2] == ["1 processes live on", "late.json is torn (JSONDecodeError)"]


def run_what_it_reads() -> int:
    """Reads a file as no reader may: it runs what is written there."""
    exec(Path("data/a.py").read_text())
    return EXIT_DONE


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"import os; os.mkdir({TRAP!r})", "wrote outside of its folder"),
        ("1 / 0", "ended with 1: ZeroDivisionError: division by zero"),
        ("numbers = bytearray(1200 * 2**20)", "took 1.2 GiB"),
        ("import time\nwhile time.process_time() < 2: pass", "took 2 s"),
        ("import sys; sys.exit(2)", "is refused with other words than one line: "),
    ],
)
def test_harm_of_hostile_files_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    def prepare(folder: Path) -> None:
        (folder / "data").mkdir(parents=True)
        (folder / "data/a.py").write_text("whole = True")

    monkeypatch.setattr(hostile, "write_trained", prepare)
    monkeypatch.setattr(hostile, "formats", lambda _: {})
    monkeypatch.setattr(hostile, "MOST_SECONDS", 1.5 if "while" in text else 100)
    reading = hostile._Reading(tmp_path)
    form = Format(("data", "a.py"), run_what_it_reads, [])
    assert reading.read(form, lambda path: path.write_text(text)).problems == [problem]
    assert reading.read(form, lambda _: None).verdict == "read"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_repeatable(tmp_path: Path, damage: Any) -> None:
    found = []
    for number in (0, 0, 1):
        path = tmp_path / "a.bin"
        path.unlink(missing_ok=True)
        path.write_bytes(np.random.default_rng(7).bytes(3000))
        damage(path, np.random.default_rng(number))
        found.append(os.readlink(path).encode() if damage is become_a_link else path.read_bytes())
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("ended", "problems"),
    [
        (Ended(2, 1.0, "", "error: full; make room\n", 0.0, 0.0), 0),
        (Ended(2, 1.0, "", "error: full\nerror: twice\n", 0.0, 0.0), 1),
        (Ended(1, 1.0, "", "Traceback (most recent call last)\nOSError: full\n", 0.0, 0.0), 1),
        (Ended(0, 1.0, "", "", 0.0, 0.0), 1),
    ],
)
def test_refusals_are_one_line(ended: Ended, problems: int) -> None:
    assert len(faults.refusal(ended)) == problems


def test_growth_and_slowing() -> None:
    numbers = list(range(0, 10_000, 100))
    warming_up = [100 + 0.5 * number if number < 1000 else 600 + 0.003 * number for number in numbers]
    assert flatness.slope(numbers, warming_up) == pytest.approx(3)
    assert flatness.slowing([0.01] * 500 + [0.02] * 500) == pytest.approx(2)
    with pytest.raises(UserError, match="too few values"):
        flatness.slope([1], [1])


def test_a_failure_is_told_and_filed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {"kills": 0, "share_of_kills": {}, "failures": ["train: is torn"]}
    monkeypatch.setattr(kills, "measure", lambda seed, count: iter((found | {"kills": count + seed}).items()))
    report = tmp_path / "report.json"
    options = ["kills", "--seed", "3", "--count", "5", "--json", str(report)]
    monkeypatch.setattr(sys, "argv", ["benchmarks.endurance", *options])
    assert command.main() == EXIT_SKIPPED
    assert json.loads(report.read_text())["results"] == {"seed": 3, **found, "kills": 8}
    assert "train: is torn" in capsys.readouterr().out


def start_another() -> int:
    subprocess.Popen(["sleep", "60"])
    time.sleep(60)
    return EXIT_DONE


def test_processes_of_processes_are_found(tmp_path: Path) -> None:
    main: Main = start_another
    (tmp_path / "work").mkdir()
    child = Child(main, [], tmp_path / "work")
    while not (started := descendants(child.pid)):
        time.sleep(0.01)
    assert child.wait(0.1).code == -9
    assert surviving(started, 0) == list(started)
    for pid in started:
        os.kill(pid, 9)
    assert surviving(started, 10) == []

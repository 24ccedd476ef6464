"""The stages in order of worth, what each needs, and how they are run within a time."""

import datetime
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.gpu.processes import run_limited
from benchmarks.gpu.setting import REPOSITORY, Setting
from utils.files import replacing

BASE = ("torch", "torchvision", "numpy", "pydantic", "yaml", "PIL", "tqdm", "fsspec")
TRAINING = (*BASE, "matplotlib", "scipy", "google_crc32c")
PIP_NAMES = {
    "yaml": "pyyaml",
    "PIL": "pillow",
    "google_crc32c": "google-crc32c",
    "imageio_ffmpeg": "imageio-ffmpeg",
}

RESERVE = 3.0
"""Seconds kept for ending the last stage and printing."""


@dataclass(frozen=True)
class Stage:
    """A stage: `benchmarks.gpu.<name>`, which has a function `measure`."""

    name: str
    title: str
    seconds: float | None
    """Its time; None takes what the others leave."""
    packages: tuple[str, ...] = BASE
    needs_data: bool = False


STAGES = (
    Stage("environment", "the card and its rates", 20),
    Stage("correctness", "the tests on the card", 90, (*BASE, "matplotlib", "pytest", "imageio_ffmpeg")),
    Stage("steps", "time and memory of training steps", 150),
    Stage("learning", "what each precision learns", 60, TRAINING, needs_data=True),
    Stage("playing", "frames a second in play", 40),
    Stage("processes_on_cards", "two processes that train together", 30),
    Stage("long_training", "02_breakout, trained in what is left", None, TRAINING, needs_data=True),
)

Record = dict[str, Any]
"""What a stage's file holds: `stage`, `status` (done, failed, stopped, skipped), `reason`, `results` and more."""


def obstacles(stage: Stage, setting: Setting) -> list[str]:
    """Return what a stage needs and this machine lacks."""
    missing = [PIP_NAMES.get(package, package) for package in stage.packages if find_spec(package) is None]
    found = [f"pip install {' '.join(missing)}"] if missing else []
    if stage.needs_data and not setting.rehearses and not Path(setting.data).is_dir():
        found.append(f"the recorded frames {setting.data}")
    return found


def run(setting: Setting) -> list[Record]:
    """Run all stages, each in a process of its own, and return their records, which are in files already.

    Args:
        setting: of the whole; each stage gets its part of the time.
    """
    return [_run_stage(stage, setting) for stage in STAGES]


def read_record(path: Path) -> Record:
    """Return what a stage's file holds, as far as it could be written; empty if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def read_run(folder: Path) -> dict[str, Record]:
    """Return the records in a folder, by stage."""
    records = {stage.name: read_record(folder / f"{stage.name}.json") for stage in STAGES}
    return {name: record for name, record in records.items() if record}


def write_record(path: Path, record: Record) -> None:
    """Write a stage's file, which is whole at any time."""
    with replacing(path) as file:
        file.write(json.dumps(record, indent=1).encode() + b"\n")


def new_record(name: str, setting: Setting) -> Record:
    """Return the record of a stage that has just begun."""
    return {
        "stage": name,
        "date": datetime.date.today().isoformat(),
        "device": setting.device,
        "rehearsal": setting.rehearses,
        "status": "stopped",
        "reason": "",
        "results": {},
    }


def _run_stage(stage: Stage, setting: Setting) -> Record:
    path = Path(setting.output) / f"{stage.name}.json"
    left = setting.seconds_left - RESERVE
    seconds = left if stage.seconds is None or setting.rehearses else min(stage.seconds, left)
    print(f"{stage.name:20} {stage.title}, {max(0, seconds):.0f} s at most", flush=True)
    missing = obstacles(stage, setting)
    start = time.time()
    if missing or seconds <= 0:
        record = new_record(stage.name, setting)
        outcome = {"status": "skipped", "reason": ", ".join(f"lacks {one}" for one in missing) or "no time left"}
    else:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            command = [sys.executable, "-m", "benchmarks.gpu.stage", stage.name]
            code = run_limited([*command, str(replace(setting, ends_at=start + seconds))], seconds, log, REPOSITORY)
            outcome = _outcome(code, log.read_text(encoding="utf-8", errors="replace"), seconds)
        record = read_record(path) or new_record(stage.name, setting)
        failed = failures(record["results"])
        if code == 0 and failed:
            outcome["reason"] = f"{len(failed)} of its figures failed; the first: {failed[0]}"
    record |= {**outcome, "seconds": round(time.time() - start, 1)}
    write_record(path, record)
    print(f"{'':20} {record['status']} after {record['seconds']:.0f} s {record['reason']}", flush=True)
    return record


def _outcome(code: int | None, log: str, seconds: float) -> Record:
    """Return the status of a stage that has ended, the reason in a line, and the end of what it printed."""
    lines = [line for line in log.splitlines() if line.strip()]
    if code == 0:
        return {"status": "done", "reason": ""}
    if code is None or code == -14:  # its own alarm, SIGALRM
        return {"status": "stopped", "reason": f"its {seconds:.0f} s were over", "log": lines[-5:]}
    return {"status": "failed", "reason": lines[-1] if lines else f"exit code {code}", "log": lines[-30:]}


def tell_obstacles(setting: Setting) -> None:
    """Print what is missing and which stages are skipped for want of it."""
    for stage in STAGES:
        for obstacle in obstacles(stage, setting):
            print(f"{stage.name} is skipped: lacks {obstacle}")


def failures(results: Any) -> list[str]:
    """Return the reasons of all figures among results that could not be measured."""
    if not isinstance(results, dict):
        return []
    own = [str(results["failed"])] if isinstance(results.get("failed"), str) else []
    return [*own, *(reason for value in results.values() for reason in failures(value))]


def are_whole(records: Iterable[Record]) -> bool:
    """Whether every stage was done and none of its figures failed."""
    return all(record["status"] == "done" and not record["reason"] for record in records)

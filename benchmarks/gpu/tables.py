"""The tables of a run, for the terminal and for benchmarks/README.md."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gpu.schedule import STAGES, Record

LARGEST_GIB = 11
"""GiB that a step of `01_bair` may take: the memory of a common card."""
LEAST_SHARE = 0.35
"""Share of the card's bf16 rate that a whole training step should reach."""
LEAST_FRAMES_PER_SECOND = 60
"""Frames of 256x256 that play should show in a second."""

Records = Mapping[str, Record]
"""The record of each stage that has one, by its name."""


def tables(records: Records) -> str:
    """Return Markdown with a table for each stage that has results."""
    parts = [
        _machine(_results(records, "environment")),
        _outcomes(records),
        _targets(records),
        _steps(_results(records, "steps")),
        _learning(_results(records, "learning").get("runs", {})),
        _playing(_results(records, "playing").get("configurations", {})),
        _processes(_results(records, "processes_on_cards").get("runs", {})),
    ]
    return "\n\n".join(part for part in parts if part)


def _results(records: Records, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = records.get(stage, {}).get("results", {})
    return found


def _machine(results: dict[str, Any]) -> str:
    if not results:
        return ""
    rates = results.get("matrix_gflop_per_second", {})
    card, machine = results.get("card", {}), results["machine"]
    said = [f"{machine['device']}, PyTorch {machine['torch']}"]
    if card:
        said.append(f"CUDA {card['cuda']}, {card['memory_gib']} GiB")
    said += [f"{name} {rate / 1000:.1f} TFLOP/s" for name, rate in rates.items()]
    if "copied_gb_per_second" in results:
        said.append(f"copies {results['copied_gb_per_second']} GB/s")
    return ", ".join(said) + "."


def _outcomes(records: Records) -> str:
    rows = []
    for stage in STAGES:
        if stage.name in records:
            record = records[stage.name]
            reason = str(record.get("reason", "")).replace("|", "/")
            said = f"{record['status']}: {reason}" if reason else record["status"]
            rows.append([stage.title, said, f"{record.get('seconds', 0):.0f} s", _summary(record)])
    return _table(["stage", "outcome", "time", "found"], rows)


def _summary(record: Record) -> str:
    """The results of a stage that has no table of its own, in a few words."""
    results = record["results"]
    if "counts" in results:
        counts = ", ".join(f"{number} {name}" for name, number in results["counts"].items() if number)
        return ", ".join([counts, *(name.rpartition("::")[2] for name in results.get("failed_tests", []))])
    if "step" in results:
        loss = "" if results["perceptual_loss"] else ", without the perceptual loss"
        return f"step {results['step']}{loss}"
    return ""


def _targets(records: Records) -> str:
    options = _results(records, "steps").get("configurations", {})
    played = _results(records, "playing").get("configurations", {})
    memory = [row["allocated_gib"] for row in options.get("01_bair", {}).values() if "allocated_gib" in row]
    shares = [
        row["share_of_matrix_rate"]
        for rows in options.values()
        for name, row in rows.items()
        if name.startswith("bf16") and "share_of_matrix_rate" in row
    ]
    speeds = [
        row["frames_per_second"] for row in played.get("01_bair", {}).values() if "frames_per_second" in _mapping(row)
    ]
    rows = []
    if memory:
        rows.append(["memory of a step of `01_bair`, GiB", f"at most {LARGEST_GIB}", min(memory)])
    if shares:
        rows.append(["share of the bf16 rate in a step", f"at least {LEAST_SHARE}", max(shares)])
    if speeds:
        rows.append(["play of `01_bair`, frames/s", f"at least {LEAST_FRAMES_PER_SECOND}", max(speeds)])
    return _table(["target", "wanted", "best found"], rows)


def _steps(results: dict[str, Any]) -> str:
    rows = []
    for name, options in results.get("configurations", {}).items():
        for option, row in options.items():
            if "milliseconds" in row:
                figures = [row["milliseconds"], row["frames_per_second"], row["share_of_matrix_rate"]]
                rows.append([f"`{name}`", option, *figures, row.get("allocated_gib", "")])
            else:
                rows.append([f"`{name}`", option, *_failure(row), "", "", ""])
    header = ["configuration", "step", "ms", "frames/s", "of the matrix rate", "GiB"]
    beside = [
        [f"`{name}`", *(row.get(key, "") for key in ("ours_milliseconds", "plain_milliseconds", "speedup"))]
        for name, row in results.get("beside_plain", {}).items()
    ]
    parts = [_table(header, rows), _table(["float32, in turns", "ours, ms", "plain, ms", "times as fast"], beside)]
    return "\n\n".join(part for part in parts if part)


def _learning(runs: dict[str, Any]) -> str:
    rows = [
        [name, run["mean_difference"], run["l1"], run.get("action_accuracy", "")]
        if "mean_difference" in run
        else [name, *_failure(run), "", ""]
        for name, run in runs.items()
    ]
    return _table(["run", "mean difference", "held-out L1", "action accuracy"], rows)


def _playing(configurations: dict[str, Any]) -> str:
    rows = []
    for name, found in configurations.items():
        if "ours" not in found:
            rows.append([f"`{name}`", *_failure(found), "", "", ""])
            continue
        speeds = [found[key].get("frames_per_second", "failed") for key in ("ours", "graphs", "plain")]
        latency = found["ours"]["milliseconds"]
        rows.append([f"`{name}`", *speeds, f"{latency['50']}, {latency['99']}"])
    return _table(["play, frames/s", "ours", "CUDA graphs", "plain", "latency, ms: median, 99 %"], rows)


def _processes(runs: dict[str, Any]) -> str:
    rows = [
        [name, run["milliseconds"], f"{run.get('loss_difference', 0):.1e}"]
        if "milliseconds" in run
        else [name, *_failure(run), ""]
        for name, run in runs.items()
    ]
    return _table(["training of the demo", "step, ms", "difference of the losses"], rows)


def _failure(row: dict[str, Any]) -> list[str]:
    return [", ".join(f"{key}: {value}" for key, value in row.items())[:100].replace("|", "/")]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown; empty without rows."""
    if not rows:
        return ""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)

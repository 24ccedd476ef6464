"""Campaigns of kills, hostile files, faults and long runs, each a few minutes long, seeded, with figures.

python -m benchmarks.endurance kills --count 100
"""

import importlib
from typing import Any

from utils.command import (
    EXIT_DONE,
    EXIT_SKIPPED,
    CommandParser,
    non_negative_int,
    positive_float,
    positive_int,
    run_command,
)
from utils.measurement import writable_file, write_report

CAMPAIGNS = {"kills": 100, "hostile": 300, "faults": 1, "endurance": 5000}
"""Each is a module; its usual count."""


def main() -> int:
    """Run one campaign, print and write what it finds; return the exit code."""
    parser = CommandParser(
        "Kill commands at random moments, feed them hostile files, let the machine fail them, or run them for long, "
        f"and tell what is not as promised (exit code {EXIT_SKIPPED} then).",
        "python -m benchmarks.endurance kills --count 100 --seed 0",
    )
    add = parser.add_argument
    add("campaign", choices=CAMPAIGNS)
    add("--seed", type=non_negative_int, default=0, help="another seed has other moments and damages (default: 0)")
    usual = ", ".join(f"{count} for {name}" for name, count in CAMPAIGNS.items() if count > 1)
    add("--count", type=positive_int, metavar="N", help=f"kills, files, or steps of training (default: {usual})")
    add("--frames", type=positive_int, default=20_000, metavar="N", help="endurance: frames to play (default: 20000)")
    add("--page_minutes", type=positive_float, metavar="M", help="endurance: also play the page so long in Chromium")
    add("--json", type=writable_file, metavar="FILE", help="where to write (default: in benchmarks/results/)")
    arguments = parser.parse_args()
    campaign = importlib.import_module(f"benchmarks.endurance.{arguments.campaign}")
    options = {"seed": arguments.seed, "count": arguments.count or CAMPAIGNS[arguments.campaign]}
    if arguments.campaign == "faults":
        del options["seed"]
    if arguments.campaign == "endurance":
        options |= {"num_frames": arguments.frames, "page_minutes": arguments.page_minutes}
    results: dict[str, Any] = {"seed": arguments.seed}
    for name, value in campaign.measure(**options):
        results[name] = value
        _show(name, value)
    path = write_report("endurance", arguments.campaign, results, path=arguments.json)
    print(f"written to {path}")
    return EXIT_SKIPPED if results["failures"] else EXIT_DONE


def _show(name: str, value: Any) -> None:
    """Print a result: one line, or one for each entry of a list or table."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if entries is None or not value:
        print(f"{name:<24} {value if value or value == 0 else 'none'}", flush=True)
        return
    print(name)
    for key, entry in entries:
        print(f"    {entry}" if isinstance(value, list) else f"    {key:<44} {entry}", flush=True)


if __name__ == "__main__":
    run_command(main)

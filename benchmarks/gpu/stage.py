"""One stage in a process of its own: `python -m benchmarks.gpu.stage NAME SETTING`.

Each result is written as soon as it is known, so that a stage that is ended leaves what it has.
"""

import importlib
import sys
from pathlib import Path

from benchmarks.gpu.schedule import new_record, write_record
from benchmarks.gpu.setting import Setting
from utils.command import run_command


def main() -> None:
    """Take the measurements of the stage that the arguments name."""
    name, text = sys.argv[1:]
    setting = Setting.parse(text)
    setting.end_in_time()
    record = new_record(name, setting)
    for key, value in importlib.import_module(f"benchmarks.gpu.{name}").measure(setting):
        record["results"][key] = value
        write_record(Path(setting.output) / f"{name}.json", record)


if __name__ == "__main__":
    run_command(main)

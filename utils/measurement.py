"""Arguments, machine description and result files shared by all benchmarks."""

import argparse
import datetime
import json
import os
import platform
import re
from pathlib import Path
from typing import Any

import torch

from utils.command import CommandParser, UserError, configuration_parser
from utils.command_names import PACKAGE_PREFIX
from utils.files import replacing, require_writable
from utils.shipped import ROOT

RESULTS_DIRECTORY = Path("" if PACKAGE_PREFIX else ROOT, "benchmarks/results")
"""In the repository; of the installed package, in the working folder."""


def measurement_parser(description: str, example: str) -> CommandParser:
    """Create a parser with the arguments of benchmarks: those of `configuration_parser`, and `json`."""
    parser = configuration_parser(description, example)
    parser.add_argument(
        "--json", type=writable_file, metavar="FILE", help="where to write (default: in benchmarks/results/)"
    )
    return parser


CPU_CAPABILITY = "ATEN_CPU_CAPABILITY"
"""The environment variable that restricts PyTorch to a set of a CPU's instructions, such as avx2."""


def describe_machine(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Describe the machine of a measurement on `device`: processor, instructions, cores, device and versions."""
    device = torch.device(device)
    processor = _processor()
    return {
        "processor": processor,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{processor} ({device.type})",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def report_path(benchmark: str, configuration: str | Path, device: torch.device | str = "cpu") -> Path:
    """Return where `write_report` writes by default."""
    restricted = f" {os.environ[CPU_CAPABILITY]}" if CPU_CAPABILITY in os.environ else ""
    machine = slug(describe_machine(device)["device"] + restricted)
    return RESULTS_DIRECTORY / f"{benchmark}.{Path(configuration).stem}.{machine}.json"


def write_report(
    benchmark: str,
    configuration: str | Path,
    results: Any,
    device: torch.device | str = "cpu",
    path: str | Path | None = None,
) -> Path:
    """Write the results of a benchmark as JSON and return the path of the file.

    The default path is `benchmarks/results/<benchmark>.<configuration>.<device>.json`, so that the newest result for
    each machine replaces the previous one; after the device stand the instructions to which `CPU_CAPABILITY` restricts.
    """
    machine = describe_machine(device)
    path = Path(path) if path else report_path(benchmark, configuration, device)
    report = {
        "benchmark": benchmark,
        "configuration": Path(configuration).stem,
        "date": datetime.date.today().isoformat(),
        "machine": machine,
        "results": results,
    }
    with replacing(path) as file:
        file.write(json.dumps(report, indent=2).encode() + b"\n")
    return path


def writable_file(text: str) -> Path:
    """`argparse` type for writable files, checked before anything is measured."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: is a folder; name a file in it")
    try:
        require_writable(path.parent, "choose another file")
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path


def _processor() -> str:
    """Model name of the processor from `/proc/cpuinfo`, else the platform's name of it."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    return model[1] if model else platform.processor() or platform.machine()


def slug(text: str) -> str:
    """Return a text as part of a file's name: lower case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")

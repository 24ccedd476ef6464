"""Stage: the card, the versions, and the rates at which matrices are multiplied and memory is copied."""

import shutil
import subprocess

import torch

from benchmarks import options, play
from benchmarks.gpu.setting import Results, Setting
from utils.device import allow_tf32
from utils.measurement import describe_machine

PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
MINIATURE_MATRIX_SIDE = 128
QUERY = "name,driver_version,memory.total,power.limit,clocks.max.sm"


def measure(setting: Setting) -> Results:
    """Describe the machine, then measure its rates."""
    device = torch.device(setting.device)
    yield "machine", describe_machine(device)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        yield (
            "card",
            {
                "memory_gib": round(properties.total_memory / 2**30, 1),
                "multiprocessors": properties.multi_processor_count,
                "capability": f"{properties.major}.{properties.minor}",
                "cuda": torch.version.cuda,
                "cudnn": torch.backends.cudnn.version(),
                "cards": torch.cuda.device_count(),
            },
        )
        yield "nvidia_smi", _nvidia_smi()
    yield "matrix_gflop_per_second", matrix_rates(setting)
    yield "copied_gb_per_second", round(options.copy_rate(device), 1)


def matrix_rates(setting: Setting) -> dict[str, float]:
    """Measure the rate of products of large matrices in each precision, in GFLOP/s."""
    if setting.rehearses:
        play.MATRIX_SIDE = MINIATURE_MATRIX_SIDE
    rates = {}
    for name, dtype in PRECISIONS.items():
        allow_tf32(name != "fp32")
        rates[name] = round(max(play.matrix_rate(torch.device(setting.device), dtype=dtype) for _ in range(3)), 1)
    return rates


def _nvidia_smi() -> str:
    """What the driver's own program tells, empty where there is none."""
    if shutil.which("nvidia-smi") is None:
        return ""
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()

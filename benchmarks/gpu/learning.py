"""Stage: short seeded runs of the demo in each precision, whose curves are compared with that of float32."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import equal_learning
from benchmarks.gpu.setting import Results, Setting, attempt
from training.run import train

RUNS = {
    "fp32": (),
    "bf16": equal_learning.RUNS["bf16"],
    "tf32": ("training.precision=tf32",),
    "fp32_seed1": equal_learning.RUNS["fp32_seed1"],
    "compile": equal_learning.RUNS["compile"],
}
NUM_STEPS = 150
SECONDS_TO_COMPILE = 20.0

LARGEST_DIFFERENCE = 0.04
"""Largest mean relative difference between the curves of two runs that learn the same."""
LARGEST_L1_DIFFERENCE = 0.06
"""Largest relative difference of their errors on held-out sequences."""


def measure(setting: Setting) -> Results:
    """Train in each precision; compilation comes last, if there is time for it."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = setting.overrides_of_data(Path(folder))
        for name in RUNS:
            if name == "compile" and (setting.device != "cuda" or setting.seconds_left < SECONDS_TO_COMPILE):
                found[name] = {"skipped": "needs CUDA" if setting.device != "cuda" else "no time left"}
            else:
                found[name] = attempt(partial(_learned, setting, name, data))
            if "curve" in found[name] and "curve" in found["fp32"]:
                difference = equal_learning.mean_difference(found[name]["curve"], found["fp32"]["curve"])
                found[name]["mean_difference"] = round(difference, 4)
            yield "runs", found


def _learned(setting: Setting, name: str, data: tuple[str, ...]) -> dict[str, Any]:
    num_steps = 2 if setting.rehearses else NUM_STEPS
    config = setting.configuration(
        "00_breakout_demo",
        *data,
        "training.precision=fp32",
        "training.compile=false",
        f"training.max_steps={num_steps}",
        f"training.pretraining_steps={num_steps // 3}",
        f"evaluation.eval_freq={num_steps}",
        f"logging.log_freq={1 if setting.rehearses else 5}",
        f"logging.run_name={name}",
        *RUNS[name],
    )
    train(config, setting.device)
    return equal_learning.found(config.logging.output_directory)


def learns_equally(record: dict[str, Any], name: str) -> bool:
    """Whether the record of this stage shows, of a run on a card, that it learned what float32 learned."""
    if record.get("device") != "cuda" or record.get("rehearsal"):
        return False
    run, reference = (record["results"].get("runs", {}).get(key, {}) for key in (name, "fp32"))
    if "mean_difference" not in run or "l1" not in run or "l1" not in reference:
        return False
    is_near = abs(run["l1"] - reference["l1"]) <= LARGEST_L1_DIFFERENCE * reference["l1"]
    return bool(run["mean_difference"] <= LARGEST_DIFFERENCE and is_near)

"""Speed of an evaluation, and its memory for few and for many sequences.

python -m benchmarks.evaluate --config configs/evaluation/00_breakout_demo.yaml

Sequences of a moving square replace the data sets; frame size, length and batch size are the configuration's. Networks
take part if their weights are on this machine, and the tracker is `generic`. Each pair of a true and a generated frame
counts as one frame; the time is that of the whole command, including its start and the report.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from dataset.video import VideoWriter
from evaluation.configuration import EvaluationConfiguration, load_evaluation_configuration
from evaluation.dataset_evaluator import DATA_FILE
from evaluation.results import HEADLINES, read_results
from utils.command import EXIT_DONE, UserError, positive_int, run_command
from utils.device import select_device
from utils.measurement import measurement_parser, write_report

REPOSITORY = Path(__file__).parent.parent
SQUARE = 16
STEP = 4
"""Pixels: the side of the square, and its maximum movement in a step."""


@dataclass(frozen=True)
class Run:
    """The figures of one call of `evaluate_dataset.py`."""

    seconds: float
    peak_megabytes: float
    """Peak of the resident memory."""
    computed: list[str]
    """The headline metrics that are not missing."""


def main() -> None:
    """Measure evaluations of few and of many sequences; print and write the results."""
    parser = measurement_parser(
        "Measure how many frames a second evaluate_dataset.py measures, and its memory for few and for many sequences.",
        "python -m benchmarks.evaluate --config configs/evaluation/00_breakout_demo.yaml",
    )
    parser.add_argument("--few", type=positive_int, default=10, help="sequences of the short run (default: 10)")
    parser.add_argument("--many", type=positive_int, default=1000, help="sequences of the long run (default: 1000)")
    arguments = parser.parse_args()
    if arguments.few >= arguments.many:
        raise UserError(f"--few {arguments.few} --many {arguments.many}: the second has to be more; see --help")
    config = load_evaluation_configuration(arguments.config, arguments.overrides)
    device = select_device(arguments.device)

    few, many = (measure(config, device.type, num_sequences) for num_sequences in (arguments.few, arguments.many))
    num_frames = arguments.many * config.evaluation.batching.observations_count
    results = {
        "frame_size": config.data.target_input_size,
        "frames_per_second": round(num_frames / many.seconds, 1),
        "seconds": {arguments.few: round(few.seconds, 1), arguments.many: round(many.seconds, 1)},
        "peak_megabytes": {arguments.few: round(few.peak_megabytes), arguments.many: round(many.peak_megabytes)},
        "computed": many.computed,
    }
    print(f"{results['frames_per_second']} frames/s, of {', '.join(many.computed)}")
    for num_sequences, run in ((arguments.few, few), (arguments.many, many)):
        print(f"{num_sequences:6} sequences: {run.seconds:.1f} s, {run.peak_megabytes:.0f} MB at most")
    print(f"written to {write_report('evaluate', arguments.config, results, device, arguments.json)}")


def measure(config: EvaluationConfiguration, device: str, num_sequences: int) -> Run:
    """Evaluate synthetic sequences in a separate process.

    Raises:
        UserError: the evaluation fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sequences(config, folder, num_sequences)
        values = config.model_dump(mode="json")
        width, height = config.data.target_input_size
        for side in ("reference", "generated"):
            values[f"{side}_data"] = {"data_root": str(folder / side), "crop": [0, 0, width, height]}
        values["logging"]["output_root"] = str(folder)
        values["data"]["ground_truth_available"] = True
        values["evaluation"]["movement"] = "generic"
        (folder / "evaluation.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        command = [
            sys.executable,
            "evaluate_dataset.py",
            "--config",
            str(folder / "evaluation.yaml"),
            "--device",
            device,
        ]
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != EXIT_DONE:
            raise UserError("the evaluation failed, see above")
        found = read_results(folder / config.logging.run_name / DATA_FILE)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes per unit of ru_maxrss
    computed = [metric.title for metric in HEADLINES if found.values.get(metric.name) is not None]
    return Run(seconds, usage.ru_maxrss * unit / 1e6, computed)


def write_sequences(config: EvaluationConfiguration, folder: Path, num_sequences: int) -> None:
    """Write `reference/test` and, with noise, `generated/test`: a square on noise, moved sideways by the actions."""
    length, actions_count = config.evaluation.batching.observations_count, config.data.actions_count
    width, height = config.data.target_input_size
    steps = np.linspace(-STEP, STEP, actions_count).round().astype(int)
    for index in tqdm(range(num_sequences), desc="writing", unit=" sequences", disable=None):
        random = np.random.default_rng(index)
        background = random.integers(0, 64, (height, width, 3), np.uint8)
        x, y = random.integers(0, (width - SQUARE, height - SQUARE), endpoint=True)
        with (
            VideoWriter(folder / "reference/test" / f"{index:05d}") as reference,
            VideoWriter(folder / "generated/test" / f"{index:05d}") as generated,
        ):
            for position, action in enumerate(random.integers(0, actions_count, length).tolist()):
                frame = background.copy()
                frame[y : y + SQUARE, x : x + SQUARE] = 200
                reference.append(frame, action)
                inferred = {"inferred_action": action} if position < length - 1 else {}
                generated.append(frame + random.integers(0, 16, frame.shape, np.uint8), metadata=inferred)
                x = int(np.clip(x + steps[action], 0, width - SQUARE))


if __name__ == "__main__":
    run_command(main)

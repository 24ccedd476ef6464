"""Everything that has to be measured on a CUDA card, in one command that ends in time.

python -m benchmarks.gpu --minutes 8 --output gpu_results
"""

import time
from pathlib import Path

from benchmarks.gpu.schedule import STAGES, are_whole, obstacles, read_run, run, tell_obstacles
from benchmarks.gpu.setting import REPOSITORY, Setting
from benchmarks.gpu.tables import tables
from utils.command import EXIT_DONE, EXIT_SKIPPED, CommandParser, UserError, positive_float, run_command
from utils.files import require_writable

DATA = REPOSITORY / "data/gpu_breakout"


def main() -> int:
    """Run all stages, or file the results of a run; return the exit code."""
    start = time.time()
    parser = CommandParser(
        "Measure on one CUDA card, within a time: the card, the tests, training steps, what each precision learns, "
        "play, two processes, and a training in what is left. Each result is written at once.",
        "python -m benchmarks.gpu --minutes 8 --output gpu_results",
    )
    add = parser.add_argument
    add("--minutes", type=positive_float, default=8.0, help="time for all of it (default: 8)")
    add("--output", type=Path, metavar="DIR", help="new folder for the results: seven JSON files, one archive")
    add("--data", type=Path, default=DATA, metavar="DIR", help="recorded Breakout (default: data/gpu_breakout)")
    add("--resume", type=Path, metavar="FILE", help="long_training.tar of an earlier run, to go on from there")
    add("--rehearse", action="store_true", help="run every stage in miniature on the CPU, without any data")
    add("--merge", type=Path, metavar="DIR", help="file the results of a run in benchmarks/results/, run nothing")
    arguments = parser.parse_args()
    if arguments.merge:
        from benchmarks.gpu.merge import merge  # imported here since it takes seconds

        print(f"filed in {merge(arguments.merge)}, with tables in benchmarks/README.md")
        return EXIT_DONE
    if arguments.output is None:
        raise UserError("--output: name a new folder for the results, or --merge one that is there")
    if arguments.resume and not arguments.resume.is_file():
        raise UserError(f"--resume {arguments.resume}: no such file; name the long_training.tar of an earlier run")
    require_writable(arguments.output, "choose another --output")
    if read_run(arguments.output):
        raise UserError(f"--output {arguments.output}: holds the results of a run; choose a new folder")
    setting = Setting(
        device="cpu" if arguments.rehearse else "cuda",
        rehearses=arguments.rehearse,
        ends_at=start + 60 * arguments.minutes,
        output=str(arguments.output.resolve()),
        data=str(arguments.data.resolve()),
        resumed=str(arguments.resume.resolve()) if arguments.resume else None,
    )
    tell_obstacles(setting)
    if not arguments.rehearse and not obstacles(STAGES[0], setting):
        from model.perceptual import VGG19  # imported here since it takes seconds
        from utils.device import select_device

        select_device("cuda")
        if not VGG19.path.exists():
            print(f"long_training is without the perceptual loss: lacks {VGG19.path}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    records = run(setting)
    if arguments.rehearse:
        print("\na rehearsal, whose figures mean nothing:")
    print(f"\n{tables({record['stage']: record for record in records})}\n\nwritten to {arguments.output}")
    return EXIT_DONE if are_whole(records) else EXIT_SKIPPED


if __name__ == "__main__":
    run_command(main)

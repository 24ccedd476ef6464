"""Long runs: memory and the time of a frame stay as they are after the first part.

A tiny model is trained, the trained Breakout that comes with the repository is played, and its page, if asked for.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.endurance.children import Child, Command, Ended, memory_gib
from benchmarks.endurance.flatness import slope, slowing
from benchmarks.endurance.miniature import RUN_NAME, arguments, trained_breakout, write_data
from utils.command import EXIT_DONE, UserError

SECONDS_BETWEEN = 0.25

MOST_MB_PER_1000 = 2.0
"""Growth of memory over 1000 steps or frames from which on it is not flat; caches of allocators still fill a little."""
MOST_SLOWING = 1.25
"""Time of a frame in the last tenth over that in the first, from which on it is not flat."""


def measure(seed: int, count: int, num_frames: int, page_minutes: float | None) -> Iterator[tuple[str, Any]]:
    """Train `count` steps, play `num_frames`, and the page for some minutes; yields results, `failures` last."""
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "work")
        folder.mkdir()
        write_data(folder)
        parts = {"training": _trained(folder, seed, count), "play": _played(folder, seed, num_frames)}
        for name, found in parts.items():
            failures += [f"{name}: {problem}" for problem in _problems(found)]
            yield name, found
        if page_minutes:
            from benchmarks.endurance.page import play_page

            page = play_page(folder / "page", page_minutes)
            failures += [f"page: {problem}" for problem in _problems(page)]
            yield "page", page
    yield "failures", failures


def _problems(found: dict[str, Any]) -> Iterator[str]:
    if (growth := found.get("mb_per_1000", 0.0)) > MOST_MB_PER_1000:
        yield f"memory grows by {growth} MB in 1000"
    if (ratio := found.get("last_tenth_over_first", 0.0)) > MOST_SLOWING:
        yield f"frames take {ratio} times as long in the end"


def _trained(folder: Path, seed: int, num_steps: int) -> dict[str, Any]:
    """Train the tiny model, and look at its memory from outside."""
    given = arguments(
        f"training.seed={seed}",
        f"training.max_steps={num_steps}",
        f"training.save_freq={num_steps}",
        f"evaluation.eval_freq={max(1, num_steps // 6)}",  # the first falls into the warm-up
        "logging.log_freq=10",
    )
    child = Child(Command("train"), given, folder)
    steps, sizes = [], []
    log = folder / "results" / RUN_NAME / "metrics.jsonl"
    while child.is_alive:
        if log.exists() and (lines := log.read_text().splitlines()):
            steps.append(json.loads(lines[-1])["step"])
            sizes.append(memory_gib(child.pid) * 1024)
        time.sleep(SECONDS_BETWEEN)
    ended = _done(child)
    steps, sizes = steps[:-1], sizes[:-1]  # the last one may be of a process that ends
    return {
        "steps": num_steps,
        "seconds": round(ended.seconds, 1),
        "mb": round(sizes[-1]),
        "mb_per_1000": round(slope(steps, sizes), 3),
    }


def _played(folder: Path, seed: int, num_frames: int) -> dict[str, Any]:
    """Play the trained Breakout in a process of its own, which tells its figures."""
    child = Child(play_frames, [str(num_frames), str(seed)], folder)
    _done(child)
    found: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return found


def play_frames() -> int:
    """Play as many frames as the first argument says, with a seed, and print figures as JSON: `main` of a child."""
    from playing.recording import Header
    from playing.session import Session
    from playing.simulator import load_simulator
    from playing.starting_frames import choose_starting_frames
    from utils.device import select_device

    num_frames, seed = map(int, sys.argv[1:])
    config = trained_breakout()
    simulator, checkpoint = load_simulator(config, select_device("cpu"))
    draw, _ = choose_starting_frames(config, None, checkpoint)
    session = Session(simulator, draw, Header(config.logging.run_name, "", "", "cpu", seed, 10.0))
    random = np.random.default_rng(seed)
    seconds, frames, sizes = [], [], []
    for number in tqdm(range(num_frames), disable=None):
        start = time.process_time()  # whatever else the machine does meanwhile
        session.act(int(random.integers(1, simulator.actions_count + 1)))
        _ = session.game.frame
        seconds.append(time.process_time() - start)
        if number % 100 == 0:
            frames.append(number)
            sizes.append(memory_gib("self") * 1024)
    figures = {
        "frames": num_frames,
        "seconds": round(sum(seconds), 1),
        "mb": round(sizes[-1]),
        "mb_per_1000": round(slope(frames, sizes), 3),
        "median_milliseconds": round(1000 * statistics.median(seconds), 2),
        "last_tenth_over_first": round(slowing(seconds), 3),
    }
    print(json.dumps(figures))
    return EXIT_DONE


def _done(child: Child) -> Ended:
    ended = child.wait(24 * 3600)
    if ended.code:
        raise UserError(f"a long run ended with {ended.code}: {ended.complaint}")
    return ended

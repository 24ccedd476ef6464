"""Workers do not outlive the process that they work for, even if it is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

VIDEOS = """
import os, time
from dataset.acquisition.parallel import run_in_parallel
def work(seconds):
    print(os.getpid(), flush=True)
    time.sleep(seconds)
if __name__ == "__main__":
    run_in_parallel(work, [(0,), (600,)], 2, str)
"""

BATCHES = """
import os, time
from dataset.batching import make_loader
class Reader:
    is_decoded = False
    def __getitem__(self, keys):
        print(os.getpid(), flush=True)
        time.sleep(600)
if __name__ == "__main__":
    next(iter(make_loader(Reader(), [[0]] * 9, num_workers=2)))
"""


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("program", [VIDEOS, BATCHES], ids=["videos", "batches"])
def test_workers_end_with_a_killed_parent(tmp_path: Path, program: str) -> None:
    (tmp_path / "program.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, str(tmp_path / "program.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        workers = [int(next(process.stdout)) for _ in range(2)]
        process.send_signal(signal.SIGKILL)
    end = time.monotonic() + 2
    while any(map(is_running, workers)) and time.monotonic() < end:
        time.sleep(0.02)
    left = [pid for pid in workers if is_running(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []

"""Stage: the tests that compute on each kind of device, on the card: published numbers, gradients, resuming."""

import re
import subprocess
import sys

from benchmarks.gpu.setting import REPOSITORY, Results, Setting

TESTS = (
    "tests/training/test_each_device.py",
    "tests/model/layers/test_centroid_estimator.py",
    "tests/model/test_fixtures.py",
    "tests/playing/test_simulator.py",
    "tests/training/test_losses.py",
    "tests/model/test_gradients.py",
)
MINIATURE_TESTS = ("tests/model/layers/test_centroid_estimator.py",)

VERDICT = re.compile(r"^(tests/\S+) (PASSED|FAILED|ERROR|SKIPPED)")


def measure(setting: Setting) -> Results:
    """Run the tests of the device; results are counts, and the names of those that fail."""
    tests = MINIATURE_TESTS if setting.rehearses else TESTS
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-k", setting.device, *tests]
    counts = {"passed": 0, "failed": 0, "error": 0, "skipped": 0}
    failed: list[str] = []
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := VERDICT.match(line):
                counts[found[2].lower()] += 1
                if found[2] in ("FAILED", "ERROR"):
                    failed.append(found[1])
                yield "counts", counts
                yield "failed_tests", failed
    if process.returncode:
        yield "failed", f"pytest ended with exit code {process.returncode}, {len(failed)} tests failed"

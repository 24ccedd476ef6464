"""What commands say where a package is missing that an extra installs."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from utils.extras import missing_package

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]

NUMBERS = ["--train_videos", "1", "--val_videos", "0", "--test_videos", "0", "--video_length", "2"]


def test_the_message_names_package_and_extra() -> None:
    assert str(missing_package("exporting", "onnx", "export", "onnx onnxruntime")) == (
        "exporting needs onnx, which is not installed; install it: pip install onnx onnxruntime, or "
        '"playable-video[export]"'
    )


def test_extras_that_are_named_exist_and_are_developed_with() -> None:
    sources = [path.read_text(encoding="utf-8") for path in ROOT.glob("*/**/*.py") if ".venv" not in path.parts]
    named = {extra for source in sources for extra in re.findall(r"playable-video\[(\w+)\]", source)}
    named |= {extra for source in sources for extra in re.findall(r'missing_package\([^)]*, "(\w+)"', source)}
    assert {"atari", "tennis", "gymnasium", "readers", "export"} <= named <= EXTRAS.keys()
    assert {each for name, packages in EXTRAS.items() if name != "dev" for each in packages} <= set(EXTRAS["dev"])


@pytest.mark.parametrize(
    ("module", "package", "arguments", "extra"),
    [
        ("dataset.acquisition.record_atari", "ale_py", ["--game", "breakout", *NUMBERS], "atari"),
        ("dataset.acquisition.tennis.download", "yt_dlp", ["--match", "a=http://localhost/a"], "tennis"),
    ],
)
def test_a_command_ends_in_one_line(
    module: str, package: str, arguments: list[str], extra: str, tmp_path: Path
) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.modules[{package!r}] = None\n"
        f"sys.argv = ['command', '--output_directory', 'new', *{arguments!r}]\n"
        f"import {module} as command; command.fetch_annotations = lambda *_: None\n"
        "from utils.command import run_command; run_command(command.main)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert f'"playable-video[{extra}]"' in done.stderr

"""The wheel lacks nothing: installed in an environment of its own, it trains and plays outside the repository."""

import ast
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from playable_video.build_hook import FOLDERS, PACKAGE, inside_package
from tests.synthetic import configuration_values, write_square_videos

REPOSITORY = Path(__file__).parent.parent
FIRST_PARTY = {*FOLDERS, *(path.stem for path in REPOSITORY.glob("*.py"))}

USE_FROM_PYTHON = """
import numpy as np
import playable_video

world = playable_video.load("00_breakout_play", device="cpu")
first = world.start()
assert world.num_actions == 3 and world.action_names == ("left", "stay", "right"), world.action_names
assert first.shape == (96, 80, 3) and first.dtype == np.uint8
frames = world.play([0, 0, 2])
assert frames.shape == (3, 96, 80, 3)
assert (frames[-1] == world.frame).all() and (frames[0] != first).any()
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command without the repository on Python's path, and without a screen."""
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy", "WANDB_MODE": "disabled"}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


def succeed(*command: str | Path, cwd: Path) -> str:
    """Run a command that succeeds; return what it prints."""
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source distribution, as `python -m build` does, without a network."""
    folder = tmp_path_factory.mktemp("dist")
    succeed(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, REPOSITORY, cwd=folder)
    assert len(list(folder.glob("*.tar.gz"))) == 1
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a new environment with the wheel, in which this environment's packages can be imported too."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin/python"
    ours = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    purelib = Path(succeed(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (purelib / "dependencies.pth").write_text(f"{ours}\n")
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    succeed(python, *install, wheel, cwd=folder)
    return folder / "bin"


@pytest.fixture
def square(tmp_path: Path) -> Path:
    """A folder with tiny footage and `square.yaml`."""
    write_square_videos(tmp_path / "data")
    (tmp_path / "square.yaml").write_text(yaml.safe_dump(configuration_values(tmp_path)))
    return tmp_path


def test_wheel_has_one_folder_and_all_files(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {PACKAGE}
    shipped = {name.removeprefix(f"{PACKAGE}/") for name in names if name.startswith(f"{PACKAGE}/")}
    tracked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    expected = {
        name.removeprefix(f"{PACKAGE}/")
        for name in tracked.splitlines()
        if name.startswith((*(f"{folder}/" for folder in (*FOLDERS, PACKAGE, "configs", "checkpoints")),))
        or ("/" not in name and name.endswith(".py"))
    }
    assert expected - shipped == {"build_hook.py"}


def test_wheel_imports_the_project_by_the_package_alone(wheel: Path) -> None:
    imported: dict[str, set[str]] = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            for node in ast.walk(ast.parse(archive.read(name))) if name.endswith(".py") else ():
                if isinstance(node, ast.Import):
                    imported.setdefault(name, set()).update(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom):
                    imported.setdefault(name, set()).add(node.module or "")
    assert len(imported) > 150
    modules = set().union(*imported.values())
    assert {module for module in modules if module.partition(".")[0] in FIRST_PARTY} == set()
    assert {f"{PACKAGE}.utils.command", f"{PACKAGE}.model.build"} < modules


def test_imports_are_moved_into_the_package_and_nothing_else() -> None:
    source = '''"""from utils.files import a"""
import json
from pathlib import Path

é = "from model.caddy import Caddy"; from utils.files import (
    replacing as model,
)
def build():
    from model import caddy
    return caddy, model
'''
    moved = inside_package(source, {"utils", "model"})
    assert moved == source.replace("; from utils", "; from playable_video.utils").replace(
        "    from model import", "    from playable_video.model import"
    )


@pytest.mark.parametrize("line", ["import utils.files", "import json, model.caddy as c", "from  utils import files"])
def test_imports_that_cannot_be_moved_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="write 'from "):
        inside_package(line, {"utils", "model"})


def test_installed_project_trains_and_plays(programs: Path, square: Path) -> None:
    program = programs / "playable-video"
    told = succeed(program, "train", "--config", "square.yaml", "--set", "training.max_steps=2", cwd=square)
    assert "to go on    playable-video train --config square.yaml" in told
    play = (program, "play", "--headless", "--actions", "1,2x2", "--device", "cpu")
    assert "recording   play_results/square/" in succeed(*play, "--config", "square.yaml", cwd=square)
    refused = run(*play, "--config", "00_breakout_play", cwd=square)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: checkpoints/00_breakout_play/latest.pth.tar: no such checkpoint; ")
    assert "playable-video train" in refused.stderr


def test_installed_project_is_used_from_python(programs: Path, tmp_path: Path) -> None:
    succeed(programs / "python", "-c", USE_FROM_PYTHON, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []

"""All ways of installing (make, pip, conda, Docker) lead to the versions in requirements.lock."""

import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from dataset.acquisition.atari_recording import recording_of
from dataset.acquisition.record_atari import parse_arguments
from utils.configuration import load_configuration

ROOT = Path(__file__).parents[1]


def read(name: str) -> str:
    """Return the text of a file of the project, with lines joined that end in a backslash."""
    return (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")


def without_comments(text: str) -> list[str]:
    """Return the lines that are neither empty nor a comment."""
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


PYPROJECT = tomllib.loads(read("pyproject.toml"))
DEPENDENCIES = PYPROJECT["project"]["dependencies"] + PYPROJECT["project"]["optional-dependencies"]["dev"]
PYTHONS = SpecifierSet(PYPROJECT["project"]["requires-python"])
LOCK = [Requirement(line) for line in without_comments(read("requirements.lock"))]
MAKE_VARIABLES = dict(re.findall(r"^(\w+) [:?]= (.*)$", read("Makefile"), flags=re.MULTILINE))
CUDA_ALONE = re.compile(MAKE_VARIABLES["CUDA_ALONE"])
DOCKERFILE = [tuple(line.split(maxsplit=1)) for line in without_comments(read("Dockerfile"))]

UBUNTU_PYTHONS = {"24.04": "3.12"}
"""The Python that a release of Ubuntu installs as python3."""


def locked_versions() -> dict[str, Version]:
    """Return the version of every locked package, by its canonical name."""
    return {canonicalize_name(pin.name): Version(str(pin.specifier).removeprefix("==")) for pin in LOCK}


def docker_arguments(instruction: str) -> list[str]:
    return [arguments for name, arguments in DOCKERFILE if name == instruction]


class TestLock:
    def test_pins_every_package_once(self) -> None:
        assert [str(pin) for pin in LOCK if not re.fullmatch(r"==[\w.]+", str(pin.specifier))] == []
        assert len(locked_versions()) == len(LOCK)

    def test_holds_nothing_but_packages(self) -> None:
        assert [str(pin) for pin in LOCK if pin.url or pin.extras] == []
        assert "://" not in read("requirements.lock")

    @pytest.mark.parametrize("dependency", DEPENDENCIES)
    def test_satisfies_dependency(self, dependency: str) -> None:
        requirement = Requirement(dependency)
        version = locked_versions().get(canonicalize_name(requirement.name))
        assert version is not None, "not locked; run: make lock"
        assert version in requirement.specifier, "contradicts pyproject.toml; run: make lock"

    def test_explains_every_package_by_another_or_by_the_project(self) -> None:
        entries = re.findall(r"^([\w-]+)==.*\n((?: +#.*\n)+)", read("requirements.lock"), flags=re.MULTILINE)
        names = {canonicalize_name(name) for name, _ in entries}
        reasons = {reason for _, comment in entries for reason in re.findall(r"# (?:via|  ) ?([\w-]+)", comment)}
        assert names == locked_versions().keys()
        assert reasons <= names | {PYPROJECT["project"]["name"]}

    def test_equals_installed_environment(self) -> None:
        installed = {canonicalize_name(each.name): each.version for each in importlib.metadata.distributions()}
        lacks_cuda = Version(importlib.metadata.version("torch")).local == "cpu"
        different = {
            pin.name: installed.get(canonicalize_name(pin.name), "missing")
            for pin in LOCK
            if (pin.marker is None or pin.marker.evaluate())
            and not (lacks_cuda and CUDA_ALONE.match(pin.name))
            and installed.get(canonicalize_name(pin.name), "0") not in pin.specifier
        }
        assert different == {}

    def test_what_cuda_alone_needs_is_what_torch_brings_along_on_linux(self) -> None:
        assert {pin.name for pin in LOCK if CUDA_ALONE.match(pin.name)} == {
            pin.name for pin in LOCK if "sys_platform == 'linux'" in str(pin.marker).replace('"', "'")
        }


class TestPythonVersions:
    def test_running(self) -> None:
        assert "{}.{}".format(*sys.version_info) in PYTHONS

    def test_make_accepts_what_the_project_requires(self) -> None:
        bounds = re.search(r"\(3, (\d+)\) <= sys\.version_info\[:2\] <= \(3, (\d+)\)", read("Makefile"))
        assert bounds is not None
        low, high = int(bounds[1]), int(bounds[2])
        assert [minor for minor in range(40) if f"3.{minor}" in PYTHONS] == list(range(low, high + 1))
        assert set(re.findall(r"Python (?:from )?3\.(\d+) to 3\.(\d+)", read("Makefile"))) == {bounds.groups()}

    def test_checkers_and_lock_target_the_oldest(self) -> None:
        oldest = min((f"3.{minor}" for minor in range(40) if f"3.{minor}" in PYTHONS), key=Version)
        assert PYPROJECT["tool"]["mypy"]["python_version"] == oldest
        assert PYPROJECT["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")
        assert f"--python-version {oldest} " in read("Makefile")


class TestConda:
    ENVIRONMENT = yaml.safe_load(read("env.yml"))

    def test_name_and_python(self) -> None:
        assert self.ENVIRONMENT["name"] == "video-generation"
        (python,) = (each for each in self.ENVIRONMENT["dependencies"] if str(each).startswith("python="))
        assert python.removeprefix("python=") in PYTHONS

    def test_installs_the_lock_and_nothing_beside_it(self) -> None:
        *packages, from_pip = self.ENVIRONMENT["dependencies"]
        assert from_pip == {"pip": ["-r requirements.lock"]}
        assert "pip" in packages
        assert "ffmpeg" in packages
        assert not {canonicalize_name(name.split("=")[0]) for name in packages} & locked_versions().keys()


class TestDocker:
    def test_instructions_are_well_formed(self) -> None:
        names = [instruction[0] for instruction in DOCKERFILE]
        assert names[:2] == ["ARG", "FROM"]
        assert set(names) <= {"ARG", "FROM", "RUN", "ENV", "COPY", "WORKDIR", "USER"}
        assert all(len(instruction) == 2 for instruction in DOCKERFILE)
        assert all(re.fullmatch(r"(\w+=\S+ ?)+", arguments) for arguments in docker_arguments("ENV"))

    @pytest.mark.parametrize("command", docker_arguments("RUN"))
    def test_commands_are_shell(self, command: str) -> None:
        subprocess.run(["sh", "-n", "-c", command], check=True)

    def test_base_image_has_the_locked_cuda_and_a_fitting_python(self) -> None:
        image, image_without_cuda, base = docker_arguments("FROM")
        match = re.fullmatch(r"nvidia/cuda:(\d+)\.(\d+)\.\d+-base-ubuntu([\d.]+) AS gpu", image)
        assert match is not None
        assert (int(match[1]), int(match[2])) == locked_versions()["cuda-toolkit"].release[:2]
        assert UBUNTU_PYTHONS[match[3]] in PYTHONS
        assert image_without_cuda == f"ubuntu:{match[3]} AS cpu"
        assert base == "${DEVICE}"
        assert docker_arguments("ARG") == ["DEVICE=gpu", "DEVICE"]

    def test_installs_the_lock_and_nothing_beside_it(self) -> None:
        installations = re.findall(r"pip install ([^&]*)", " && ".join(docker_arguments("RUN")))
        (words,) = ([word for word in shlex.split(options) if not word.startswith("--")] for options in installations)
        assert words == ["-r", "/opt/requirements.lock"]
        assert docker_arguments("COPY") == ["requirements.lock /opt/", ". ."]

    def test_without_cuda_installs_what_make_does(self) -> None:
        (command,) = (command for command in docker_arguments("RUN") if "sed" in command)
        assert f"\"$DEVICE\" = cpu ]; then sed -i -E '/{CUDA_ALONE.pattern}/d' /opt/requirements.lock;" in command
        assert f"PIP_EXTRA_INDEX_URL={MAKE_VARIABLES['CPU_INDEX']}" in docker_arguments("ENV")

    def test_compose_builds_each_image_on_folders_of_the_user(self) -> None:
        services = yaml.safe_load(read("compose.yaml"))["services"]
        ignored = {line.strip("/") for line in without_comments(read(".gitignore"))} | {"checkpoints"}
        assert services.keys() == {"cpu", "gpu"}
        for device, service in services.items():
            assert service["build"] == {"context": ".", "args": {"DEVICE": device}}
            assert {volume.partition(":")[0].removeprefix("./") for volume in service["volumes"]} <= ignored
            assert {volume.partition(":")[2].rpartition("/")[0] for volume in service["volumes"]} == {
                *docker_arguments("WORKDIR")
            }
        assert services["gpu"]["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]

    def test_leaves_out_what_git_ignores(self) -> None:
        left_out = {line.removeprefix("**/") for line in read(".dockerignore").splitlines()}
        assert left_out == {line.replace("!/", "!").strip("/") for line in without_comments(read(".gitignore"))} | {
            ".git"
        }


class TestDemo:
    def test_recording_is_what_the_configuration_trains_on(self) -> None:
        options = shlex.split(MAKE_VARIABLES["DEMO_RECORDING"])
        arguments = parse_arguments([*options, "--output_directory", MAKE_VARIABLES["DEMO_DATA"]])
        config = load_configuration(ROOT / MAKE_VARIABLES["DEMO_CONFIG"])
        assert recording_of(arguments).target_size == tuple(config.model.representation_network.target_input_size)
        assert Path(config.data.data_root) == arguments.output_directory

    def test_commands_exist(self) -> None:
        programs = re.findall(r"\.venv/bin/python (?:-m )?(\S+)", read("Makefile"))
        assert {"dataset.acquisition.record_atari", "train.py"} < set(programs)
        assert (ROOT / "train.py").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
class TestMake:
    """The set-up, with a shell script in Python's place that notes what it is asked to do."""

    PYTHON = """#!/bin/sh
    case "$*" in
    *"-m venv"*) echo venv >> calls; mkdir -p .venv/bin; cp "$0" .venv/bin/python;;
    *"-m pip"*) echo pip >> calls; echo "$*" > options; cat > lines; exit $PIP_EXIT_CODE;;
    esac
    """

    @pytest.fixture(autouse=True)
    def project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("Makefile", "requirements.lock"):
            shutil.copy(ROOT / name, tmp_path)
        (tmp_path / "python").write_text(self.PYTHON)
        (tmp_path / "python").chmod(0o755)
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("MAKEFLAGS", raising=False)

    def set_up(self, python: str = "./python", pip_exit_code: int = 0, torch: str = "") -> tuple[int, list[str], str]:
        """Return make's exit code, what was asked of Python, and the errors."""
        environment = {**os.environ, "PIP_EXIT_CODE": str(pip_exit_code), "TORCH": torch}
        command = ["make", ".venv", f"PYTHON={python}"]
        done = subprocess.run(command, env=environment, input="", capture_output=True, text=True, timeout=60)
        calls = Path("calls").read_text().split() if Path("calls").exists() else []
        Path("calls").unlink(missing_ok=True)
        return done.returncode, calls, done.stderr

    def test_installs_once(self) -> None:
        assert self.set_up()[:2] == (0, ["venv", "pip"])
        assert self.set_up()[:2] == (0, [])

    def test_starts_afresh_after_an_interrupted_installation(self) -> None:
        assert self.set_up(pip_exit_code=1)[:2] == (2, ["venv", "pip"])
        assert self.set_up()[:2] == (0, ["venv", "pip"])

    def test_installs_the_lock(self) -> None:
        self.set_up()
        assert shlex.split(Path("options").read_text())[-2:] == ["-r", "requirements.lock"]

    def test_leaves_cuda_out(self) -> None:
        assert self.set_up(torch="cpu")[:2] == (0, ["venv", "pip"])
        assert shlex.split(Path("options").read_text())[-2:] == ["-r", "/dev/stdin"]
        pins = [Requirement(line) for line in without_comments(Path("lines").read_text())]
        assert pins == [pin for pin in LOCK if not CUDA_ALONE.match(pin.name)]

    def test_updates_when_the_lock_changes(self) -> None:
        self.set_up()
        installed = Path(".venv/requirements.lock").stat().st_mtime
        os.utime("requirements.lock", (installed + 1, installed + 1))
        assert self.set_up(pip_exit_code=1)[:2] == (2, ["pip"])
        assert not Path(".venv/requirements.lock").exists()

    def test_names_the_remedy_for_a_missing_python(self) -> None:
        code, calls, errors = self.set_up(python="./no-such-python")
        assert (code, calls) == (2, [])
        assert "make PYTHON=" in errors

    def test_names_the_remedy_for_a_missing_venv_module(self) -> None:
        Path("python").write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n')
        code, calls, errors = self.set_up()
        assert (code, calls) == (2, [])
        assert "python3-venv" in errors

    def test_lists_every_target(self) -> None:
        done = subprocess.run(["make"], capture_output=True, text=True, check=True)
        targets = re.findall(r"^([a-z]+):", read("Makefile"), flags=re.MULTILINE)
        assert re.findall(r"^make (\w+)", done.stdout, flags=re.MULTILINE) == [
            name for name in targets if name != "help"
        ]


def test_ci_runs_lint_and_tests() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)
    assert read(".ci/run").splitlines()[-1] == "make --keep-going lint test"

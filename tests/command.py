"""A command of the project, run in this process as from a command line."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from utils.command import run_command


class Command:
    """Runs one of the top level's modules in a folder that holds `square.yaml`."""

    def __init__(
        self,
        module: ModuleType,
        folder: Path,
        patch: pytest.MonkeyPatch,
        capture: pytest.CaptureFixture[str],
        *common: str,
    ) -> None:
        """Run `module` with the arguments that `common` has and those of each call."""
        self.folder = folder
        self._module = module
        self._patch = patch
        self._capture = capture
        self._common = common

    def __call__(self, *arguments: str) -> tuple[object, str, str]:
        """Return exit code, stdout and stderr."""
        self._capture.readouterr()
        self._patch.setattr(sys, "argv", [f"{self._module.__name__}.py", *self._common, *arguments])
        with pytest.raises(SystemExit) as exit_:
            run_command(self._module.main)
        captured = self._capture.readouterr()
        return exit_.value.code, captured.out, captured.err

    def refused(self, *arguments: str) -> str:
        """Return the one line that the arguments are refused with; nothing is written then."""
        before = files(self.folder)
        code, out, err = self(*arguments)
        assert code == 2
        assert out == ""
        assert err.startswith("error: ")
        assert err.endswith("\n")
        assert err.count("\n") == 1
        assert files(self.folder) == before
        return err.removeprefix("error: ").rstrip()


def files(folder: Path) -> dict[Path, bytes | None]:
    """All that is in a folder: the contents of files, None for folders."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}

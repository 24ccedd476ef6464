"""The command that runs all others, here in the repository."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from playable_video import console
from utils.command_names import COMMANDS, Command

REPOSITORY = Path(__file__).parents[2]

Run = Callable[..., tuple[object, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command with arguments; returns exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["/somewhere/bin/playable-video", *arguments])
        with pytest.raises(SystemExit) as exit_:
            console.main()
        return exit_.value.code, *capsys.readouterr()

    return call


def test_help_lists_all_commands(run: Run) -> None:
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: playable-video COMMAND")
    for command in COMMANDS:
        assert f"  {command.name} " in out
        assert command.description in out


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_command_shows_its_own_help(command: Command, run: Run) -> None:
    code, out, err = run(command.name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: playable-video {command.name} ")


def test_all_commands_but_those_of_tennis_are_listed() -> None:
    modules = {command.module for command in COMMANDS}
    commands = {path.stem for path in REPOSITORY.glob("*.py")}
    for folder in ("dataset", "playing", "evaluation", "sharing", "training"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8") and "tennis" not in path.parts:
                commands.add(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))
    assert modules == commands
    assert all(callable(import_module(module).main) for module in modules)


def test_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert (code, out) == (0, f"playable-video {console.project_version()}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pla",), "pla: no such command; did you mean 'play'?"),
        (("xyz",), "xyz: no such command; see --help"),
        ((), "the following arguments are required: COMMAND; see --help"),
        (("--verbose", "play"), "unrecognized arguments: --verbose; see --help"),
        (("inspect", "data", "--speed"), "unrecognized arguments: --speed; see --help"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], told: str, run: Run) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err == f"error: {told}\n"

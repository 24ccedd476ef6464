import argparse
import errno
import getpass
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from utils.command import (
    UserError,
    configuration_parser,
    non_negative_int,
    one_line,
    positive_int,
    run_command,
)


def exit_code(main: Callable[[], int | None]) -> object:
    with pytest.raises(SystemExit) as exit_:
        run_command(main)
    return exit_.value.code


def raising(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3), (143, 143)])
def test_what_main_returns_is_the_exit_code(returned: int | None, code: int) -> None:
    assert exit_code(lambda: returned) == code


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UserError("data.crop:\n  too large"), "error: data.crop: too large\n"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "results/a"),
            "error: [Errno 28] No space left on device: 'results/a'; free some space or choose another disk\n",
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "results"),
            "error: [Errno 13] Permission denied: 'results'; change its permissions or choose another folder\n",
        ),
        (
            OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "results"),
            "error: [Errno 36] File name too long: 'results'; choose a shorter name\n",
        ),
    ],
)
def test_what_the_user_can_mend_is_told_in_one_line(
    error: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(raising(error)) == 2
    assert capsys.readouterr().err == told


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make this user one without an entry in the system's list, without HOME and without a name."""

    def fail(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "")  # to be restored afterwards
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return monkeypatch


@pytest.mark.usefixtures("nobody")
def test_a_user_without_home_and_name_gets_both(tmp_path: Path) -> None:
    for _ in range(2):
        assert exit_code(lambda: None) == 0
        assert Path.home() == tmp_path / f"home-{os.getuid()}"
        assert Path.home().stat().st_mode & 0o777 == 0o700
        assert getpass.getuser() == str(os.getuid())
        os.environ.pop("HOME")


@pytest.mark.usefixtures("nobody")
def test_a_home_that_somebody_else_made_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "trap").mkdir()
    (tmp_path / f"home-{os.getuid()}").symlink_to(tmp_path / "trap")
    assert exit_code(lambda: None) == 0
    assert Path.home().parent == tmp_path
    assert Path.home().resolve() != tmp_path / "trap"


def test_home_and_name_are_kept(tmp_path: Path, nobody: pytest.MonkeyPatch) -> None:
    nobody.setenv("HOME", str(tmp_path / "mine"))
    nobody.setenv("USER", "me")
    assert exit_code(lambda: None) == 0
    assert Path.home() == tmp_path / "mine"
    assert getpass.getuser() == "me"


def test_a_name_that_is_not_text_can_be_told() -> None:
    script = "import os, utils.command as c; c.run_command(lambda: print(os.fsdecode(b'\\xff')))"
    told = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    assert told.stdout == b"\\udcff\n"


@pytest.mark.parametrize("error", [ValueError("ours"), FileNotFoundError(errno.ENOENT, "ours"), OSError("ours")])
def test_defects_keep_their_traceback(error: Exception) -> None:
    with pytest.raises(type(error), match="ours"):
        run_command(raising(error))


def test_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_sigterm_ends_any_command_after_its_cleanup() -> None:
    cleaned = []

    def main() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            time.sleep(60)
        finally:
            cleaned.append(True)

    assert exit_code(main) == 143
    assert cleaned


def test_arguments() -> None:
    parser = configuration_parser("Does it.", "python it.py --config a.yaml")
    arguments = parser.parse_args(["--config", "a.yaml", "--set", "a.b=1", "--set", "c=2"])
    assert vars(arguments) == {"config": "a.yaml", "overrides": ["a.b=1", "c=2"], "device": "auto"}
    assert "example:\n  python it.py --config a.yaml\n" in parser.format_help()


@pytest.mark.parametrize("arguments", [[], ["--config"], ["--config", "a", "--device", "tpu"], ["--config", "a", "-x"]])
def test_wrong_arguments_are_told_like_other_mistakes(arguments: list[str]) -> None:
    with pytest.raises(UserError, match=r"; see --help$"):
        configuration_parser("", "").parse_args(arguments)


def test_counts() -> None:
    assert positive_int("1") == 1
    assert non_negative_int("0") == 0
    for parse, text in ((positive_int, "0"), (positive_int, "two"), (non_negative_int, "-1"), (positive_int, "1.5")):
        with pytest.raises(argparse.ArgumentTypeError, match=f"{text} is not a whole number of at least"):
            parse(text)


def test_one_line() -> None:
    assert one_line(ValueError("a\n  b\tc")) == "a b c"
    assert one_line(ValueError()) == "ValueError"

"""Arguments, exit codes and error reporting shared by all commands.

Exit codes: 0 done; 2 an error the user can fix (one line on stderr); 3 finished, but some input was left out (listed);
130 and 143 interrupted by Ctrl-C or SIGTERM.
"""

import argparse
import dataclasses
import errno
import getpass
import io
import math
import os
import signal
import stat
import sys
import tempfile
import textwrap
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

from tqdm import tqdm

from utils.command_names import PROGRAM, as_run_here

Options = TypeVar("Options", bound=Any)
"""A dataclass."""

EXIT_DONE = 0
EXIT_USER_ERROR = 2
EXIT_SKIPPED = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

DEVICE_CHOICES = ("auto", "cpu", "cuda", "mps")

_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space or choose another disk"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR), "change its permissions or choose another folder"
    ),
    errno.ENAMETOOLONG: "choose a shorter name",
}


class UserError(ValueError):
    """An error the user can fix.

    The message is one line: what is wrong, where, and the remedy.
    """


def one_line(error: BaseException) -> str:
    """Message of an error without line breaks, for one line on stderr."""
    return " ".join(str(error).split()) or type(error).__name__


def tell(message: str) -> None:
    """Print a line immediately, without breaking a progress bar on the terminal."""
    if sys.stderr.isatty():
        tqdm.write(message)
    else:
        print(message, flush=True)


def provide_user() -> None:
    """Give this process a home and a user's name if it has none, as in a container: libraries ask for them.

    The home is a folder of this user alone among the temporary files.
    """
    number = os.getuid()
    if not os.path.isabs(os.path.expanduser("~")):
        home = os.path.join(tempfile.gettempdir(), f"home-{number}")
        with suppress(FileExistsError):
            os.mkdir(home, mode=0o700)
        found = os.lstat(home)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != number:
            home = tempfile.mkdtemp()
        os.environ["HOME"] = home
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = str(number)


def run_command(main: Callable[[], int | None]) -> NoReturn:
    """Run a command's `main` and exit the process with the matching exit code.

    `main` returns an exit code (None means 0). `UserError`, a full disk and a folder without permission end with one
    line on stderr and code 2; Ctrl-C ends with 130, SIGTERM with 143, both after the `finally` blocks of `main`. Any
    other exception is a bug and keeps its traceback.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    provide_user()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        code = main()
    except UserError as error:
        code = _tell(one_line(error))
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        code = _tell(f"{one_line(error)}; {_REMEDIES[error.errno]}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = EXIT_INTERRUPTED
    sys.exit(code or EXIT_DONE)


def _tell(message: str) -> int:
    print(f"error: {as_run_here(message)}", file=sys.stderr)
    return EXIT_USER_ERROR


class CommandParser(argparse.ArgumentParser):
    """Argument parser of a command, which reports wrong arguments as a `UserError`."""

    def __init__(self, description: str, example: str) -> None:
        module = getattr(sys.modules["__main__"], "__spec__", None)
        super().__init__(
            prog=f"python -m {module.name}" if module and not sys.argv[0].startswith(PROGRAM) else None,
            description=textwrap.fill(as_run_here(description), 100),
            epilog=f"example:\n  {as_run_here(example)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def add_configuration(self, takes_checkpoint: bool = False, takes_several: bool = False) -> None:
        """Add `--config`, `--set` and, for commands that need no configuration beside a checkpoint, `--checkpoint`.

        With `takes_several` both `--config` and `--checkpoint` take one or more, and are lists.
        """
        number = "+" if takes_several else None
        self.add_argument(
            "--config",
            required=not takes_checkpoint,
            nargs=number,
            metavar="FILE",
            help="a YAML file, or the name of one in configs/",
        )
        if takes_checkpoint:
            self.add_argument(
                "--checkpoint",
                nargs=number,
                metavar="FILE_OR_FOLDER",
                help="the model, also hub:owner/name of the Hugging Face Hub (default: the newest of the run of "
                "--config); without --config, with the configuration stored in it",
            )
        self.add_overrides()

    def add_overrides(self) -> None:
        """Add `--set`, which may be repeated, as `overrides`."""
        self.add_argument(
            "--set",
            dest="overrides",
            action="append",
            default=[],
            metavar="SECTION.KEY=VALUE",
            help="override a value of the configuration; may be given several times",
        )

    def add_device(self, purpose: str) -> None:
        """Add `--device`, the processor for a purpose such as "compute on"."""
        self.add_argument(
            "--device",
            choices=DEVICE_CHOICES,
            default="auto",
            help=f"the processor to {purpose} (default: %(default)s)",
        )

    def add_processes(self, done: str) -> None:
        """Add `--processes`, the number of videos "converted" (or another participle) at a time."""
        self.add_argument(
            "--processes",
            type=positive_int,
            default=os.cpu_count() or 1,
            metavar="P",
            help=f"videos {done} at a time, without influence on the data (default: the number of cores)",
        )

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments.

        Raises:
            UserError: always, with the message.
        """
        raise UserError(f"{message}; see --help")


def configuration_parser(description: str, example: str, takes_checkpoint: bool = False) -> CommandParser:
    """Create a parser with the arguments of commands that take a configuration: `config`, `overrides`, `device`.

    With `takes_checkpoint` it has `checkpoint` too, and one of both is enough (`playing.arguments`).
    """
    parser = CommandParser(description, example)
    parser.add_configuration(takes_checkpoint)
    parser.add_device("compute on")
    return parser


def options_from(arguments: argparse.Namespace, kind: type[Options]) -> Options:
    """The dataclass of a command's options, each field from the argument of its name."""
    return kind(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(kind)})


def positive_int(text: str) -> int:
    """`argparse` type for counts of at least one."""
    return _int_of_at_least(1, text)


def non_negative_int(text: str) -> int:
    """`argparse` type for counts that may be zero."""
    return _int_of_at_least(0, text)


def positive_float(text: str) -> float:
    """`argparse` type for finite numbers above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _int_of_at_least(minimum: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = minimum - 1
    if value < minimum:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least {minimum}")
    return value

"""What every command shares: arguments, exit codes and how errors are told.

Exit codes: 0 done; 2 the user can mend it (one line on stderr); 3 finished, but some inputs were skipped; 130 and 143
interrupted by Ctrl-C or SIGTERM after saving.
"""

import argparse
import errno
import sys
from collections.abc import Callable

EXIT_DONE = 0
EXIT_USER_ERROR = 2
EXIT_INPUTS_SKIPPED = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


DEVICE_CHOICES = ("auto", "cpu", "cuda", "mps")


class UserError(ValueError):
    """A mistake that the user can mend. The message is one line: what is wrong, where, and the remedy."""


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks, so that it stays one line on stderr."""
    return " ".join(str(error).split()) or type(error).__name__


def run_command(main: Callable[[], int | None]) -> None:
    """Run a command's `main` and end the process with the exit code that belongs to its outcome.

    `main` returns an exit code (None means 0). `UserError` and a full disk end with one line on stderr and code 2;
    Ctrl-C ends with 130. Any other exception is a defect of ours and keeps its traceback.
    """
    try:
        code = main()
    except UserError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        code = EXIT_USER_ERROR
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        print(f"error: {one_line(error)}; free some space or choose a writable folder", file=sys.stderr)
        code = EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = EXIT_INTERRUPTED
    sys.exit(code or EXIT_DONE)


def configuration_parser(description: str, example: str) -> argparse.ArgumentParser:
    """The arguments of every command that works from a configuration: `config`, `overrides` and `device`."""
    parser = argparse.ArgumentParser(
        description=description, epilog=f"example: {example}", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="a YAML configuration, see configs/")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override a value of the configuration; may be given several times",
    )
    parser.add_argument("--device", choices=DEVICE_CHOICES, default="auto", help="the processor to compute on")
    return parser


def positive_int(text: str) -> int:
    """An `argparse` type for counts of at least one."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return value


def non_negative_int(text: str) -> int:
    """An `argparse` type for counts that may be zero."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 0")
    return value

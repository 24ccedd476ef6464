"""The command `playable-video`, which runs all others: `playable-video play --config 00_breakout_demo`."""

import argparse
import difflib
import sys
import tomllib
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn

from utils.command import CommandParser, UserError, run_command
from utils.command_names import COMMANDS, PACKAGE_PREFIX, PROGRAM


def main() -> NoReturn:
    """Run the command that the command line names, and exit with its code."""
    run_command(run)


def run() -> int | None:
    """Run the command that the command line names; return its exit code.

    Raises:
        UserError: there is no such command.
    """
    arguments = _parser().parse_args()
    modules = {command.name: command.module for command in COMMANDS}
    if arguments.command not in modules:
        close = difflib.get_close_matches(arguments.command, modules, n=1)
        remedy = f"did you mean '{close[0]}'?" if close else "see --help"
        raise UserError(f"{arguments.command}: no such command; {remedy}")
    sys.argv = [f"{PROGRAM} {arguments.command}", *arguments.arguments]
    code: int | None = import_module(f"{PACKAGE_PREFIX}{modules[arguments.command]}").main()
    return code


def project_version() -> str:
    """Return the version of the installed package, or of the repository that this file is in."""
    try:
        return version(PROGRAM)
    except PackageNotFoundError:
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
        return str(project["project"]["version"])


def _parser() -> CommandParser:
    parser = CommandParser(
        "Learn discrete actions and a playable video model from unlabelled videos, and play it.",
        f"{PROGRAM} play --checkpoint 00_breakout_play --windowed",
    )
    width = max(len(command.name) for command in COMMANDS)
    listed = "\n".join(f"  {command.name:{width}}  {command.description}" for command in COMMANDS)
    parser.prog = PROGRAM
    parser.usage = f"{PROGRAM} COMMAND [OPTION ...]"
    parser.epilog = f"commands, each with its own --help:\n{listed}\n\n{parser.epilog}"
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {project_version()}")
    parser.add_argument("command", metavar="COMMAND", help="one of those below")
    arguments = parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments.required = False
    return parser

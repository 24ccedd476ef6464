"""Resumable output folders: the options are stored with the data and must be the same when a command is repeated."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.command import UserError, one_line
from utils.files import replacing


def claim_folder(directory: Path, file_name: str, options: Mapping[str, Any], verb: str) -> None:
    """Write the options to a new or empty folder, or check that an existing one has the same options.

    Args:
        directory: the folder of the data set.
        file_name: name of the file with the options.
        options: JSON values by option name.
        verb: past participle for messages, such as "converted".

    Raises:
        UserError: the folder cannot be used, holds other files, or was made with other options.
        OSError: the file cannot be written.
    """
    file = directory / file_name
    options = json.loads(json.dumps(options))
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory}: not a usable folder ({error.strerror}); choose another folder") from error
    if not file.exists():
        if any(not path.name.startswith(".") for path in directory.iterdir()):
            raise UserError(f"{directory}: holds files but no {file_name}; choose a new folder")
        with replacing(file) as stream:
            stream.write(json.dumps(options, indent=2).encode() + b"\n")
        return
    try:
        found = dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{file}: cannot be read: {one_line(error)}; choose a new folder") from error
    differing = [name for name, value in options.items() if found.get(name) != value]
    if differing:
        raise UserError(
            f"{directory}: was {verb} with {', '.join(_as_typed(name, found.get(name)) for name in differing)}; repeat "
            "these options to complete it, or choose a new folder"
        )


def _as_typed(name: str, value: Any) -> str:
    """Format an option as on a command line."""
    if value is None or value is False:
        return f"no --{name}"
    if value is True:
        return f"--{name}"
    return f"--{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"

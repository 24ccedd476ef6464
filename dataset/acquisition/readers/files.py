"""File handling shared by the readers: finding, naming and error reporting."""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from dataset.acquisition.readers.source import SourceError
from utils.command import UserError, one_line
from utils.files import is_data


def natural_key(path: Path) -> list[str | int]:
    """Return a sort key of a path's name that puts `frame9` before `frame10`."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]


def find_files(path: Path, suffixes: Collection[str]) -> list[Path]:
    """Return the files with one of the suffixes: `path` itself, or those in it and its direct sub-folders.

    Suffixes are given in lower case and match either case; hidden files and folders are ignored. A folder's own files
    come first, then those of its sub-folders, each in natural order.
    """
    if path.is_file():
        return [path] if path.suffix.lower() in suffixes else []
    return [file for folder in folders_of(path) for file in files_of(folder, suffixes)]


def folders_of(path: Path) -> list[Path]:
    """Return a folder and its direct sub-folders in natural order; hidden ones are ignored."""
    if not path.is_dir():
        return []
    folders = (folder for folder in path.iterdir() if folder.is_dir() and is_data(folder))
    return [path, *sorted(folders, key=natural_key)]


def files_of(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Return the files of a folder with one of the suffixes in natural order; hidden ones are ignored."""
    files = (file for file in folder.iterdir() if file.suffix.lower() in suffixes)
    return sorted((file for file in files if file.is_file() and is_data(file)), key=natural_key)


def name_of(file: Path, path: Path) -> str:
    """Return the printable name of a file found at `path`: its path relative to it."""
    name = file.name if file == path else file.relative_to(path).as_posix()
    return os.fsencode(name).decode(errors="backslashreplace")


@contextmanager
def explaining_damage(name: str) -> Iterator[None]:
    """Turn any exception of a decoder into a `SourceError`, since damaged files raise many kinds."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise SourceError(f"{name}: cannot be read: {one_line(error)}") from error

"""What readers do with files: find them, name them, and say what is wrong with them."""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from dataset.acquisition.readers.source import SourceError
from utils.command import UserError, one_line


def natural_key(path: Path) -> list[str | int]:
    """Sort key of a path by its name in which `frame9` comes before `frame10`."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]


def find_files(path: Path, suffixes: Collection[str]) -> list[Path]:
    """Return the file `path`, or those in the folder `path` and its direct sub-folders, that have one of the suffixes.

    Suffixes are in lower case and found in either; hidden files and folders are left out. The order is that of a
    folder's files, then of its sub-folders', each naturally sorted.
    """
    if path.is_file():
        return [path] if path.suffix.lower() in suffixes else []
    return [file for folder in folders_of(path) for file in files_of(folder, suffixes)]


def folders_of(path: Path) -> list[Path]:
    """Return a folder and its direct sub-folders, naturally sorted; hidden ones are left out."""
    if not path.is_dir():
        return []
    folders = (folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    return [path, *sorted(folders, key=natural_key)]


def files_of(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Return the files of a folder with one of the suffixes, naturally sorted; hidden ones are left out."""
    files = (file for file in folder.iterdir() if file.suffix.lower() in suffixes)
    return sorted((file for file in files if file.is_file() and not file.name.startswith(".")), key=natural_key)


def name_of(file: Path, path: Path) -> str:
    """Return how a file that was found at `path` is called: by its path from there on, fit to be printed."""
    name = file.name if file == path else file.relative_to(path).as_posix()
    return os.fsencode(name).decode(errors="backslashreplace")


@contextmanager
def explaining_damage(name: str) -> Iterator[None]:
    """Turn whatever a decoder meets in a damaged file into a `SourceError`: those raise exceptions of many kinds."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise SourceError(f"{name}: cannot be read: {one_line(error)}") from error

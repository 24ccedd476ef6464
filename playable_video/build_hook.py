"""Makes the wheel: a step of the build that puts the folders and commands of the repository below `playable_video`.

At the top of anybody's site-packages, names as general as `utils` and `model` would be in the way of others. So each
file goes below the package, and absolute imports of the project's own modules get its name in front, at the very
positions where the syntax tree has them; nothing else of a file changes.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "playable_video"

FOLDERS = ("utils", "model", "dataset", "playing", "evaluation", "web", "training", "preparation", "sharing")
"""The folders of modules that the package has."""

DATA = ("configs/*.yaml", "configs/evaluation/*.yaml", "checkpoints/00_breakout_play/latest.pth.tar")
"""The other files that it has, by their paths in the repository and in the package."""


NOT_SHIPPED = ("build_hook.py",)
"""Files of this folder that the package does not have."""


class PackageBuilder(BuildHookInterface):
    """Hatchling calls it for every wheel. An editable one has the repository itself on the path instead."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files of the package, those in Python rewritten in a temporary folder."""
        if version == "editable":
            return
        root = Path(self.root)
        self._rewritten = TemporaryDirectory()
        first_party = {*FOLDERS, *(path.stem for path in root.glob("*.py"))}
        for target, source in package_files(root):
            if source.suffix == ".py":
                rewritten = Path(self._rewritten.name, target)
                rewritten.parent.mkdir(parents=True, exist_ok=True)
                rewritten.write_text(inside_package(source.read_text(encoding="utf-8"), first_party), encoding="utf-8")
                source = rewritten
            build_data["force_include"][str(source)] = target

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove the temporary folder."""
        if version != "editable":
            self._rewritten.cleanup()


def package_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the path in the wheel of each file of the package, and where it lies in the repository at `root`."""
    own = (path for path in (root / PACKAGE).iterdir() if path.is_file() and path.name not in NOT_SHIPPED)
    yield from ((f"{PACKAGE}/{path.name}", path) for path in own)
    others = [path for folder in FOLDERS for path in (root / folder).rglob("*")]
    others += [path for pattern in ("*.py", *DATA) for path in root.glob(pattern)]
    for path in others:
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"{PACKAGE}/{path.relative_to(root).as_posix()}", path


def inside_package(source: str, first_party: set[str]) -> str:
    """Return a module whose absolute imports of the project's modules are those of the package.

    Args:
        source: the text of the module.
        first_party: the names of the project's folders and commands.

    Raises:
        ValueError: an import binds the name of a folder or a command (`import utils.files`), or is not written on one
            line with single spaces.
    """
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in first_party:
                    raise ValueError(f"import {alias.name}: write 'from ... import' in place of it")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in first_party:
            line = lines[node.lineno - 1].encode()  # columns are counted in bytes
            before, after = line[: node.col_offset], line[node.col_offset :]
            written = f"from {node.module} import".encode()
            if not after.startswith(written):
                raise ValueError(f"line {node.lineno}: write 'from {node.module} import' with single spaces")
            lines[node.lineno - 1] = (before + after.replace(b"from ", f"from {PACKAGE}.".encode(), 1)).decode()
    return "".join(lines)

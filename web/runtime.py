"""The onnxruntime-web of a page: its files and where they come from.

Only the pinned files are used, byte for byte: their hashes are checked here, and again in the browser before they run.
"""

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from utils.command import UserError
from utils.files import replacing, user_cache

RUNTIME_FOLDER = "runtime"
"""The folder of the files in an exported page."""

NPM_SECONDS = 600
"""Time limit for npm to fetch the package, which is 33 MB."""


@dataclass(frozen=True)
class RuntimeFile:
    """One file of a runtime."""

    num_bytes: int
    integrity: str
    """`sha384-` and the hash in base64, as in HTML's `integrity` attribute."""


@dataclass(frozen=True)
class Runtime:
    """A version of onnxruntime-web, and those of its files that a page needs."""

    version: str
    files: Mapping[str, RuntimeFile]

    @property
    def package(self) -> str:
        """Its name and version for npm."""
        return f"onnxruntime-web@{self.version}"


PAGE_RUNTIME = Runtime(
    version="1.30.0",
    files={
        # For every browser: WebAssembly with SIMD, and with threads where the page is allowed to use them.
        "ort.wasm.bundle.min.mjs": RuntimeFile(
            73_054, "sha384-PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG"
        ),
        "ort-wasm-simd-threaded.wasm": RuntimeFile(
            14_239_897, "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM"
        ),
        # For browsers with WebGPU and JSPI: 10 MB less than the build that does not need JSPI.
        "ort.jspi.bundle.min.mjs": RuntimeFile(
            115_872, "sha384-9RUgRCKe1ziB7Sof69RRpoybxSmnC67IsfHFamx/k+9m39GbvHvw5Sets/Xpsro+"
        ),
        "ort-wasm-simd-threaded.jspi.wasm": RuntimeFile(
            16_758_545, "sha384-bMP/XSpH5FjIIaVnUc1eR3cDsGZGdO1ZPjcHGEtvMwOgZZFcOEN8VrGooR81HSFO"
        ),
    },
)


def runtime_description(kind: Literal["local", "cdn"]) -> dict[str, Any]:
    """Return the runtime's entry in `game.json`: version, base address, and the hash and size of each file."""
    remote = f"https://cdn.jsdelivr.net/npm/{PAGE_RUNTIME.package}/dist/"
    return {
        "version": PAGE_RUNTIME.version,
        "base": f"{RUNTIME_FOLDER}/" if kind == "local" else remote,
        "files": {name: file.integrity for name, file in PAGE_RUNTIME.files.items()},
        "bytes": {name: file.num_bytes for name, file in PAGE_RUNTIME.files.items()},
    }


def find_runtime(directory: Path | None = None) -> Path:
    """Return a folder with the verified files of the runtime.

    It is the given one; else the package that npm installed in the current folder or a parent; else the user's cache,
    which npm fills if needed.

    Raises:
        UserError: the given folder lacks a file or holds another version, or npm is missing or fails.
    """
    if directory:
        _require_complete(directory, f"put the files of {PAGE_RUNTIME.package} (folder dist) there")
        return directory
    here = Path.cwd()
    installed = [folder / "node_modules/onnxruntime-web/dist" for folder in (here, *here.parents)]
    cached = user_cache() / PAGE_RUNTIME.package
    for folder in (*installed, cached):
        if not unusable_files(folder):
            return folder
    _fetch(cached)
    return cached


def unusable_files(directory: Path) -> list[str]:
    """Return the names of the runtime's files that a folder lacks, or of which it holds another version."""
    return [name for name, file in PAGE_RUNTIME.files.items() if not _is_pinned(directory / name, file)]


def _is_pinned(path: Path, file: RuntimeFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.num_bytes:
        return False
    return f"sha384-{base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()}" == file.integrity


def _require_complete(directory: Path, remedy: str) -> None:
    unusable = unusable_files(directory)
    if unusable:
        raise UserError(f"{directory}: {', '.join(unusable)}: missing, or of another version; {remedy}")


def _fetch(folder: Path) -> None:
    """Fetch the package with npm, without running any of it, and put the needed files into a folder.

    Raises:
        UserError: npm is missing or fails, or its package is not the pinned one.
    """
    by_hand = f"fetch {PAGE_RUNTIME.package} elsewhere and name its folder dist with --runtime_directory"
    npm = shutil.which("npm")
    if not npm:
        raise UserError(f"npm, which fetches the page's runtime, is not installed; install Node.js, or {by_hand}")
    with tempfile.TemporaryDirectory() as temporary:
        try:
            command = [npm, "pack", "--loglevel=error", "--ignore-scripts", PAGE_RUNTIME.package]
            subprocess.run(command, cwd=temporary, check=True, capture_output=True, text=True, timeout=NPM_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise UserError(f"npm did not fetch the page's runtime in {NPM_SECONDS} s; {by_hand}") from error
        except subprocess.CalledProcessError as error:
            raise UserError(f"npm cannot fetch the page's runtime: {error.stderr}; {by_hand}") from error
        (package,) = Path(temporary).glob("*.tgz")
        with tarfile.open(package) as archive:
            wanted = [member for member in archive if Path(member.name).name in PAGE_RUNTIME.files]
            archive.extractall(temporary, wanted, filter="data")
        fetched = Path(temporary, "package/dist")
        _require_complete(fetched, f"npm's package is not the pinned one; {by_hand}")
        for name in PAGE_RUNTIME.files:
            with replacing(folder / name) as file:
                file.write((fetched / name).read_bytes())

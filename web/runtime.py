"""The onnxruntime-web that a page computes with: which files, and where they come from.

A file counts only if it is the pinned one, byte for byte: found here by its hash, and checked again by the page, in the
browser, before it runs.
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
"""Where the files lie in an exported folder."""

NPM_SECONDS = 600
"""How long npm may take to fetch the package, which is 33 MB."""


@dataclass(frozen=True)
class RuntimeFile:
    """One file of a runtime."""

    num_bytes: int
    integrity: str
    """`sha384-` and the hash in base64, as web pages write it."""


@dataclass(frozen=True)
class Runtime:
    """A version of onnxruntime-web, and which of its files a page needs."""

    version: str
    files: Mapping[str, RuntimeFile]

    @property
    def package(self) -> str:
        """What npm calls it."""
        return f"onnxruntime-web@{self.version}"


PAGE_RUNTIME = Runtime(
    version="1.30.0",
    files={
        # For every browser: WebAssembly with SIMD, and threads where the page may have them.
        "ort.wasm.bundle.min.mjs": RuntimeFile(
            73_054, "sha384-PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG"
        ),
        "ort-wasm-simd-threaded.wasm": RuntimeFile(
            14_239_897, "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM"
        ),
        # For browsers with WebGPU and JSPI: 10 MB less than the build that does without the latter.
        "ort.jspi.bundle.min.mjs": RuntimeFile(
            115_872, "sha384-9RUgRCKe1ziB7Sof69RRpoybxSmnC67IsfHFamx/k+9m39GbvHvw5Sets/Xpsro+"
        ),
        "ort-wasm-simd-threaded.jspi.wasm": RuntimeFile(
            16_758_545, "sha384-bMP/XSpH5FjIIaVnUc1eR3cDsGZGdO1ZPjcHGEtvMwOgZZFcOEN8VrGooR81HSFO"
        ),
    },
)


def runtime_description(kind: Literal["local", "cdn"]) -> dict[str, Any]:
    """What `game.json` says of the runtime: version, the address that file names follow, hash and size of each file."""
    remote = f"https://cdn.jsdelivr.net/npm/{PAGE_RUNTIME.package}/dist/"
    return {
        "version": PAGE_RUNTIME.version,
        "base": f"{RUNTIME_FOLDER}/" if kind == "local" else remote,
        "files": {name: file.integrity for name, file in PAGE_RUNTIME.files.items()},
        "bytes": {name: file.num_bytes for name, file in PAGE_RUNTIME.files.items()},
    }


def find_runtime(directory: Path | None = None) -> Path:
    """Return a folder that holds the files of the runtime, each verified.

    It is the given one; else the package that npm installed in the current folder or one above; else the user's cache,
    which npm is asked to fill where it is empty.

    Raises:
        UserError: the given folder lacks a file or holds another version's, or npm is missing or fails.
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
    """Names of the runtime's files that a folder lacks or holds another version of."""
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
    """Have npm fetch the package, of which nothing is run, and keep the files that are needed in a folder."""
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

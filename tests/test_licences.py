"""What is installed may be used and given away: the licences of the packages in requirements.lock."""

import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = Path(__file__).parents[1] / "requirements.lock"

PERMISSIVE = (
    "0bsd",
    "apache",
    "boost",
    "bsd",
    "bsl-1.0",
    "cc0",
    "isc",
    "matplotlib",
    "mit",
    "mit-cmu",
    "psf",
    "python software foundation",
    "unlicense",
    "zlib",
)
"""What the names of licences begin with that ask for no more than a notice."""

ALLOWED = {
    "ale-py": "GPL-2.0: only record_atari imports it, as a user does who has it installed; none of it is given away",
    "certifi": "MPL-2.0: a list of certificates, used unchanged",
    "pathspec": "MPL-2.0: used unchanged, by mypy only",
    "pygame": "LGPL: a library that is imported, and can be replaced",
    "tqdm": "MPL-2.0 and MIT: used unchanged",
}
"""Packages of other free licences, and why these do not bind what is published here."""

PROPRIETARY = re.compile(r"nvidia-|cuda-toolkit$")
"""NVIDIA's run-time libraries, which torch brings along on Linux: they may be used and installed freely."""


def locked_packages() -> list[str]:
    """The names of the packages that requirements.lock installs here."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return [canonicalize_name(pin.name) for pin in pins if pin.marker is None or pin.marker.evaluate()]


def licences(package: str) -> list[str]:
    """The names of a package's licences, those that hold together and those that one may choose from."""
    found = importlib.metadata.metadata(package)
    if expression := _only(found.get_all("License-Expression")):
        return [part.strip(" ()") for part in re.split(r" AND | OR | WITH [\w-]+", expression) if part.strip(" ()")]
    classifiers = [text.split(" :: ") for text in found.get_all("Classifier") or [] if text.startswith("License :: ")]
    names = [parts[-1] for parts in classifiers if parts[-1] != "OSI Approved"]
    if names:
        return names
    named = _only(found.get_all("License")).splitlines()
    return re.split(r" AND | OR ", named[0].strip()) if named else []


def _only(values: list[str] | None) -> str:
    return values[0] if values else ""


def is_permissive(name: str) -> bool:
    return re.sub(r"^(the |3-clause |new |modified )", "", name.lower()).startswith(PERMISSIVE)


def surprises(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """The packages, with their licences, that neither are permissive nor stand in the lists of exceptions."""
    return {
        package: names
        for package, names in found.items()
        if package not in ALLOWED and not PROPRIETARY.match(package) and not (names and all(map(is_permissive, names)))
    }


def test_no_licence_is_a_surprise() -> None:
    found = {package: licences(package) for package in locked_packages()}
    assert len(found) > 50
    print("\n".join(f"{package}: {', '.join(names)}" for package, names in sorted(found.items())))
    assert surprises(found) == {}, "use another package, or say in ALLOWED why its licence does not matter"


def test_every_exception_is_needed() -> None:
    found = {package: licences(package) for package in locked_packages()}
    assert [package for package in ALLOWED if package in found and all(map(is_permissive, found[package]))] == []
    assert ALLOWED.keys() <= {canonicalize_name(line.partition("==")[0]) for line in LOCK.read_text().splitlines()}


@pytest.mark.parametrize("name", ["GPL-3.0-only", "AGPL", "Other/Proprietary License", "LGPL", "CC-BY-NC-4.0", "SSPL"])
def test_surprises_are_found(name: str) -> None:
    assert surprises({"new": ["MIT", name], "silent": [], "fine": ["BSD License"]}) == {
        "new": ["MIT", name],
        "silent": [],
    }

"""What `docs/extending.md` shows as a diff fits the files as they are."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
SECTIONS = dict(
    section.split("\n", 1)
    for section in re.split(r"^## ", (REPOSITORY / "docs/extending.md").read_text(), flags=re.M)[1:]
)
DIFFS = {title: "\n".join(re.findall(r"^```diff\n(.*?)^```", text, re.S | re.M)) for title, text in SECTIONS.items()}
NAME = re.compile(r"`((?:model|training|evaluation|utils|dataset)(?:\.\w+)+)`|`((?:[\w.]+/)+[\w.]+)`")


def changes(diff: str) -> dict[str, tuple[bool, list[str]]]:
    """By file: whether it is new, and the lines that must be there already."""
    found: dict[str, tuple[bool, list[str]]] = {}
    for before, path, body in re.findall(r"^--- (\S+)\n\+\+\+ b/(\S+)\n((?:(?!--- ).*\n?)*)", diff, re.M):
        lines = [line[1:] for line in body.splitlines() if line[:1] in (" ", "-")]
        found[path] = (before == "/dev/null", lines)
    return found


@pytest.mark.parametrize("title", ["A model", "A loss", "A metric", "Footage of another kind", "A data source"])
def test_a_diff_fits(title: str) -> None:
    files = changes(DIFFS[title])
    assert 2 <= len(files) <= 3  # two at most beside the new one, or the one with the new function
    for path, (is_new, lines) in files.items():
        if is_new:
            assert not (REPOSITORY / path).exists()
            assert (REPOSITORY / path).parent.is_dir()
            continue
        there = (REPOSITORY / path).read_text().splitlines()
        assert lines, path
        for line in lines:
            assert line in there, f"{path}: {line}"


def test_what_is_named_exists() -> None:
    for text in SECTIONS.values():
        for dotted, path in NAME.findall(re.sub(r"^```diff.*?^```", "", text, flags=re.S | re.M)):
            if path:
                assert (REPOSITORY / path).exists(), path
            else:
                module, _, name = dotted.rpartition(".")
                source = (REPOSITORY / f"{module.replace('.', '/')}.py").read_text()
                assert re.search(rf"^(class|def) {name}\b|^{name}\b", source, re.M), dotted

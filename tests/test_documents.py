"""No reference to a document dangles: files, sections and links exist, and each document can be found.

A section is cited by its anchor, as in `docs/method.md#decoder`: its heading in lower case with hyphens for spaces.
"""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
).stdout.splitlines()
CITING = [name for name in TRACKED if name.endswith((".py", ".yaml", ".md", "Makefile"))]
DOCUMENTS = [name for name in TRACKED if name.endswith(".md")]

CITATION = re.compile(r"(?<![\w/.-])docs/[\w/-]+\.md(?:#[\w-]+)?")
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")


def prose(markdown: str) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE)


def anchors(markdown: str) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", prose(markdown), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    repeats = [slugs[:index].count(slug) for index, slug in enumerate(slugs)]
    return {f"{slug}-{repeat}" if repeat else slug for slug, repeat in zip(slugs, repeats, strict=True)}


def exists(target: str, base: Path) -> bool:
    """Whether there is a `file` or `file#anchor` in the folder `base`, or an `#anchor` in the document `base`."""
    name, _, anchor = target.partition("#")
    path = base / name
    return path.exists() and (not anchor or anchor in anchors(path.read_text(encoding="utf-8")))


def dangling_citations(text: str) -> list[str]:
    """The documents and sections that a text cites by their path in the repository, and that are not there."""
    return [citation for citation in CITATION.findall(text) if not exists(citation, REPOSITORY)]


def dangling_links(markdown: str, path: Path) -> list[str]:
    """The relative links of a document at a path that lead nowhere."""
    targets = LINK.findall(prose(markdown))
    return [target for target in targets if not exists(target, path if target.startswith("#") else path.parent)]


def test_cited_documents_exist() -> None:
    cited = {name: dangling_citations((REPOSITORY / name).read_text(encoding="utf-8")) for name in CITING}
    assert {name: dangling for name, dangling in cited.items() if dangling} == {}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    path = REPOSITORY / name
    assert dangling_links(path.read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name.startswith("docs/")])
def test_each_document_is_linked_from_another(name: str) -> None:
    path = REPOSITORY / name
    others = [REPOSITORY / other for other in DOCUMENTS if other != name]
    linked = {
        (other.parent / target.partition("#")[0]).resolve()
        for other in others
        for target in LINK.findall(prose(other.read_text(encoding="utf-8")))
    }
    assert path.resolve() in linked


def test_messages_that_are_explained_are_those_of_the_product() -> None:
    text = (REPOSITORY / "docs/troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall("^### .*`(.*)`$", text, re.MULTILINE)
    assert len(messages) > 15
    product = [name for name in TRACKED if name.endswith((".py", ".html")) and not name.startswith("tests/")]
    source = "".join((REPOSITORY / name).read_text(encoding="utf-8") for name in product) + "Misdirected Request"
    joined = re.sub(r'"\s*\n\s*f?"', "", source)
    assert [message for message in messages if message not in joined] == []


def test_what_dangles_is_found(tmp_path: Path) -> None:
    folder = "docs"
    cited = f"{folder}/method.md#decoder {folder}/method.md#no-such-section, ({folder}/no_such_document.md)."
    assert dangling_citations(cited) == [f"{folder}/method.md#no-such-section", f"{folder}/no_such_document.md"]

    document = tmp_path / "document.md"
    document.write_text("# Of A, B\n# Twice\n# Twice\n```\n# Code\n[x](code.md)\n```\n")
    links = "[a](#of-a-b) [b](document.md#twice-1) [c](#code) [d](document.md#twice-2) [e](none.md) [f](https://g.org)"
    assert dangling_links(document.read_text() + links, document) == ["#code", "document.md#twice-2", "none.md"]

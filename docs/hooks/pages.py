"""Pages of the site that are not in `docs/`, and links that work both on GitHub and on the site.

On the site, files have their paths in the repository, and those in `docs/` stand at the top.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).parents[2]

OTHER_PAGES = ("README.md", "benchmarks/README.md")
PICTURES = ("benchmarks/results/*.png", "benchmarks/results/*.gif")

INTERFACES = {
    "Playing from Python": ("playing.world.load", "playing.world.World"),
    "A model": ("model.playable.PlayableModel", "model.playable.Rollout", "model.playable.ImaginedStep"),
    "A loss": ("training.objective.Term", "training.objective.Comparison"),
    "A metric": ("evaluation.metric.Metric", "evaluation.metric.PairBatch", "evaluation.metric.Needs"),
    "Footage": ("dataset.acquisition.readers.source.Source", "dataset.acquisition.readers.source.SourceFrame"),
    "Data": ("dataset.formats.DataFormat", "dataset.formats.TrainingData"),
}
"""What the page of interfaces documents, by its headings."""

LINK = re.compile(r"\[((?:`[^`]*`|[^\[\]`])*)\]\((?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?\)")
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages and pictures from outside of `docs/`.

    The navigation gets those pages that it does not name and, where the site is published, the demo beside it.
    """
    pictures = (path for pattern in PICTURES for path in REPOSITORY.glob(pattern))
    for path in (*OTHER_PAGES, *(picture.relative_to(REPOSITORY).as_posix() for picture in pictures)):
        files.append(File(path, str(REPOSITORY), config.site_dir, config.use_directory_urls))
    files.append(File.generated(config, "interfaces.md", content=interfaces()))
    assert config.nav is not None
    named = named_pages(config.nav)
    unnamed = sorted(file.src_uri for file in files.documentation_pages() if file.src_uri not in named)
    if unnamed:
        config.nav = [*config.nav, {"More": unnamed}]
    if config.site_url:
        config.nav = [*config.nav, {"Play Breakout here": f"{config.site_url}demo/"}]
    if repository := config.extra["repository"]:
        config.nav = [*config.nav, {"Source code": repository}]
    return files


def interfaces() -> str:
    """Return the page of interfaces; mkdocstrings puts docstrings in place of its lines."""
    sections = (f"## {title}\n\n" + "".join(f"::: {name}\n\n" for name in names) for title, names in INTERFACES.items())
    introduction = "What the parts of the project are made of; [extending](extending.md) tells how to add one.\n\n"
    return "# Interfaces\n\n" + introduction + "".join(sections)


def named_pages(nav: Any) -> set[str]:
    """Return the pages that a part of the navigation names."""
    if isinstance(nav, str):
        return {nav}
    return {page for part in (nav.values() if isinstance(nav, dict) else nav) for page in named_pages(part)}


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to pages and pictures of the site, else into the repository, else nowhere."""
    source = page.file.src_uri
    folder = posixpath.dirname(source if source in OTHER_PAGES else f"docs/{source}")

    def rewritten(link: re.Match[str]) -> str:
        text, target, anchor = link[1], posixpath.normpath(posixpath.join(folder, link[2])), link[3] or ""
        on_site = target.removeprefix("docs/")
        if files.get_file_from_path(on_site):
            return f"[{text}]({posixpath.relpath(on_site, posixpath.dirname(source) or '.')}{anchor})"
        repository = config.extra["repository"]
        return f"[{text}]({repository}/blob/main/{target}{anchor})" if repository else text

    texts, blocks = CODE.split(markdown), CODE.findall(markdown)
    changed = [LINK.sub(rewritten, text) for text in texts]
    return "".join(part for pair in zip(changed, [*blocks, ""], strict=True) for part in pair)

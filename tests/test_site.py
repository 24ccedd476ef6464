"""The documentation as a site: built strictly, from this repository alone."""

import re
from html import unescape
from pathlib import Path
from shutil import copytree

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from docs.hooks.configuration_reference import comments, kind_of
from docs.hooks.pages import INTERFACES
from evaluation.configuration import EvaluationConfiguration, load_evaluation_configuration
from utils.configuration import Configuration, load_configuration
from utils.sections import flatten

REPOSITORY = Path(__file__).parent.parent
ADDRESS = "https://example.org/someone/playable-video"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the documents and of one that the navigation does not name yet, built without a warning."""
    folder = tmp_path_factory.mktemp("documentation")
    copytree(REPOSITORY / "docs", folder / "docs")
    (folder / "docs" / "new_page.md").write_text(
        "# Something new\n\n[License](../LICENSE), [play](play.md#environment)\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        patch.setenv("REPOSITORY_URL", ADDRESS)
        directories = {"docs_dir": str(folder / "docs"), "site_dir": str(folder / "site")}
        config = load_config(str(REPOSITORY / "mkdocs.yml"), strict=True, **directories)
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
    return folder / "site"


def text(page: Path) -> str:
    """What a reader sees of a page's article."""
    article = page.read_text(encoding="utf-8").partition("<article")[2].partition("</article>")[0]
    return unescape(re.sub(r"<[^>]+>", "", article))


def test_every_document_is_a_page(site: Path) -> None:
    names = [path.stem for path in REPOSITORY.glob("docs/*.md")]
    assert [name for name in [*names, "benchmarks"] if not (site / name / "index.html").exists()] == []
    assert "make demo" in text(site / "index.html")
    assert not (site / "hooks").exists()


def test_a_page_that_the_navigation_does_not_name_is_listed(site: Path) -> None:
    navigation = (site / "index.html").read_text(encoding="utf-8")
    assert re.search(r'href="new_page/"', navigation)


def test_links_lead_to_pages_pictures_and_the_repository(site: Path) -> None:
    page = (site / "new_page/index.html").read_text(encoding="utf-8")
    assert f'<a href="{ADDRESS}/blob/main/LICENSE">License</a>' in page
    assert '<a href="../play/#environment">play</a>' in page
    browser = (site / "browser/index.html").read_text(encoding="utf-8")
    (picture,) = re.findall(r'<img [^>]*src="([^"]*)"', browser)
    assert (site / "browser" / picture).is_file()
    assert (site / "assets/images/favicon.png").is_file()


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    pages = {path.relative_to(site): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert len(pages) > 12
    loaded = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*(?:src|href)=["']?(?:https?:)?//[^\s"'>]+""")
    assert {path: found for path, page in pages.items() if (found := loaded.findall(page))} == {}
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"""(?:@import|url\()\s*["']?(?:https?:)?//""", styles) == []


def test_the_reference_has_every_key_of_a_configuration(site: Path) -> None:
    reference = text(site / "configuration/index.html")
    training = load_configuration(REPOSITORY / "configs/02_breakout.yaml")
    evaluation = load_evaluation_configuration(REPOSITORY / "configs/evaluation/02_breakout.yaml")
    for config in (training, evaluation):
        keys = {key.rpartition(".")[2] for key in flatten(config.model_dump())}
        assert [key for key in keys if f"\n{key}\n" not in reference] == []
    assert "names the folders of this run: results/<run_name> and checkpoints/<run_name>" in reference
    assert "0.0004" in reference


@pytest.mark.parametrize(
    ("kind", "section", "key", "said"),
    [
        (Configuration, "Training", "learning_rate", "number > 0"),
        (Configuration, "Training", "compile", "`auto`, `true`, `false`"),
        (Configuration, "Data", "crop", "list of 4 (integer ≥ 0)"),
        (Configuration, "CentroidEstimatorConfiguration", "alpha", "number ≥ 0, ≤ 1"),
        (EvaluationConfiguration, "Data", "action_names", "list (text) or `null`"),
    ],
)
def test_the_reference_tells_types_and_ranges(kind: type[Configuration], section: str, key: str, said: str) -> None:
    assert kind_of(kind.model_json_schema()["$defs"][section]["properties"][key]) == said


def test_what_a_key_is_for_is_the_comment_beside_or_above_it() -> None:
    yaml = "a:  # of all\n  b: 1  # of b\n  # of c,\n  # in two lines\n  c: 2\n\n# of nothing\n\nd: {}\n"
    assert comments(yaml) == {"a": "of all", "a.b": "of b", "a.c": "of c, in two lines", "d": ""}


def test_the_interfaces_are_documented(site: Path) -> None:
    page = (site / "interfaces/index.html").read_text(encoding="utf-8")
    assert [name for names in INTERFACES.values() for name in names if f'id="{name}"' not in page] == []


def test_formulas_are_pictures(site: Path) -> None:
    method = (site / "method/index.html").read_text(encoding="utf-8")
    assert method.count('src="data:image/svg+xml;base64,') > 40
    assert "arithmatex" not in method

"""What is put where; that a browser plays it is tested in `test_page.py`."""

import base64
import gzip
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from utils.command import UserError
from web.single_file import write_single_file

HTML = """<!doctype html>
<html lang="en">
<head>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
</head>
<body>
<p>"</body>"</p>
<script type="module" src="page.js" onerror="sorry()"></script>
</body>
</html>
"""

GAME = {
    "model": {"file": "model.onnx"},
    "initial_state": {"file": "state.bin"},
    "starts": ["starts/00.png", "starts/01.png"],
    "first_frame": "first_frame.png",
    "runtime": {"base": "runtime/", "files": {"ort.mjs": "sha384-0", "ort.wasm": "sha384-1"}},
}

FILES = {
    "index.html": HTML,
    "style.css": "body { color: red; }\n",
    "page.js": 'import { one } from "./one.js";\nimport {\n  two,\n} from "./two.js";\nconst text = "1% é </p>";\n',
    "one.js": "export const one = 1;\n",
    "two.js": 'export { one as two } from "./one.js";\n',
    "service_worker.js": "what a single file does without",
    "game.json": json.dumps(GAME),
    "model.onnx": "the model",
    "state.bin": "the state",
    "starts/00.png": "a picture",
    "starts/01.png": "another",
    "first_frame.png": "what follows",
    "runtime/ort.mjs": "export const env = {};",
    "runtime/ort.wasm": "\0asm",
}

DATA = [name for name in FILES if not name.endswith((".html", ".css", ".js"))]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "page"
    for name, contents in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(contents)
    return folder


@pytest.fixture
def html(directory: Path) -> str:
    write_single_file(directory, directory / "single.html")
    return (directory / "single.html").read_text()


def imports(html: str) -> dict[str, str]:
    """The modules of the import map, as text."""
    (text,) = re.findall(r'<script type="importmap">(.*?)</script>', html)
    prefix = "data:text/javascript,"
    return {
        name: unquote(address.removeprefix(prefix))
        for name, address in json.loads(text)["imports"].items()
        if address.startswith(prefix)
    }


def test_holds_every_file_that_is_read(html: str) -> None:
    elements = re.findall(r'<script type="application/gzip" data-file="([^"]+)">([^<]+)</script>', html)
    held = {name: gzip.decompress(base64.b64decode(contents)).decode() for name, contents in elements}
    assert held == {name: FILES[name] for name in DATA}


def test_modules_import_each_other_by_name(html: str) -> None:
    assert imports(html) == {
        "page.js": FILES["page.js"].replace("./", ""),
        "one.js": FILES["one.js"],
        "two.js": 'export { one as two } from "one.js";\n',
    }
    assert '<script type="module">import "page.js";</script>' in html


def test_nothing_is_left_to_be_fetched(html: str) -> None:
    assert "<style>\nbody { color: red; }\n</style>" in html
    assert re.findall(r'(?:src|href)="(?!data:)', html) == []


def test_what_stood_in_the_page_still_does(html: str) -> None:
    assert html.startswith("<!doctype html>")
    assert html.endswith("</body>\n</html>\n")
    assert '<p>"</body>"</p>' in html


def test_the_same_page_gives_the_same_file(directory: Path, html: str) -> None:
    write_single_file(directory, directory / "again.html")
    assert (directory / "again.html").read_text() == html


@pytest.mark.parametrize("name", ["index.html", "style.css", "page.js", *DATA])
def test_missing_file(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(UserError, match=rf"{re.escape(name)}: missing, so that no single file can be made"):
        write_single_file(directory, directory / "single.html")
    assert not (directory / "single.html").exists()

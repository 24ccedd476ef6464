"""No file and no function of the product is too long to be read at once."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
MOST_LINES_OF_FILE = 400
MOST_LINES_OF_FUNCTION = 60


def product_files() -> list[Path]:
    """The Python files of the commands and of all folders but `tests`."""
    folders = [path for path in REPOSITORY.iterdir() if path.is_dir() and path.name.isidentifier()]
    return [
        *REPOSITORY.glob("*.py"),
        *(path for folder in folders if folder.name not in ("data", "tests") for path in folder.rglob("*.py")),
    ]


def too_long(source: str) -> list[str]:
    """What is too long in a file: itself, or functions by name, each with its number of lines."""
    num_lines = len(source.splitlines())
    found = [f"{num_lines} lines"] if num_lines > MOST_LINES_OF_FILE else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            num_lines = node.end_lineno - node.lineno + 1
            if num_lines > MOST_LINES_OF_FUNCTION:
                found.append(f"{node.name}: {num_lines} lines")
    return found


def test_nothing_is_too_long() -> None:
    files = product_files()
    assert len(files) > 150
    found = {str(path.relative_to(REPOSITORY)): too_long(path.read_text(encoding="utf-8")) for path in files}
    assert {name: parts for name, parts in found.items() if parts} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("pass\n" * 400, []),
        ("pass\n" * 401, ["401 lines"]),
        ("class A:\n  def f():\n" + "    pass\n" * 59, []),
        ("class A:\n  async def f():\n" + "    pass\n" * 60, ["f: 61 lines"]),
    ],
)
def test_what_is_too_long_is_found(source: str, found: list[str]) -> None:
    assert too_long(source) == found

"""The notebook: it runs from its first cell to its last, here on tiny videos and offline, and holds no outputs."""

import os
import stat
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

REPOSITORY = Path(__file__).parent.parent
NOTEBOOK = nbformat.read(REPOSITORY / "docs" / "quickstart.ipynb", as_version=4)

TINY = """
run, config, videos, recording = "square", "square.yaml", None, "data"
training = "--device cpu --set training.max_steps=2"
page = "--runtime cdn"
"""

PLAYING = """
before = screen.value
buttons[2].click()
assert screen.value != before and len(buttons) == 3
"""


def test_it_holds_no_outputs() -> None:
    cells = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
    assert [cell for cell in cells if cell.outputs or cell.execution_count is not None] == []
    assert "widgets" not in NOTEBOOK.metadata


def test_it_runs_from_beginning_to_end(square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = square / "bin" / "playable-video"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom playable_video.console import main\nmain()\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    notebook = nbformat.from_dict(NOTEBOOK)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = TINY
    notebook.cells.append(nbformat.v4.new_code_cell(PLAYING))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(square)}}).execute()
    assert (square / "checkpoints/square/latest.pth.tar").exists()
    assert (square / "page/index.html").exists()
    pictures = [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert any("image/gif" in data for data in pictures)

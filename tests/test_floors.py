"""The house: which room stands on which floor. Nothing is imported from a higher floor, and nothing in a circle."""

import ast
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent

FLOORS = (
    ("utils",),
    ("model", "dataset"),
    ("dataset.shards",),
    ("dataset.open",),
    ("dataset.acquisition",),
    ("playing",),
    ("evaluation", "web"),
    ("training",),
    ("preparation", "sharing"),
    ("commands", "benchmarks", "playable_video"),
)
"""From the ground up. Rooms on one floor know nothing of each other."""

COMMANDS = {
    *(path.stem for path in REPOSITORY.glob("*.py")),
    "dataset.acquisition.export_lerobot",
    "dataset.acquisition.prepare",
}
"""Modules that are commands alone: `python train.py`, `python -m dataset.acquisition.prepare`."""

FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

Imports = dict[str, set[str]]
"""Which modules each module imports."""


def file_of(module: str) -> Path:
    return REPOSITORY / f"{module.replace('.', '/')}.py"


def room_of(module: str) -> str:
    """The most special room of a module."""
    if module in COMMANDS:
        return "commands"
    rooms = [room for room in FLOOR_OF if f"{module}.".startswith(f"{room}.")]
    assert rooms, f"{module} stands on no floor; name its folder in FLOORS"
    return max(rooms, key=len)


def imported_by(source: str) -> set[str]:
    """The modules of the project that a file imports anywhere, for the types alone or inside of functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"line {node.lineno}: a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if file_of(name).is_file()}


def read_imports() -> Imports:
    """Those of all commands and of all modules in a room."""
    folders = {room.partition(".")[0] for room in FLOOR_OF if room != "commands"}
    files = [*REPOSITORY.glob("*.py"), *(path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))]
    modules = {".".join(path.relative_to(REPOSITORY).with_suffix("").parts): path for path in files}
    return {module: imported_by(path.read_text(encoding="utf-8")) for module, path in modules.items()}


def climbs(imports: Imports) -> Iterable[str]:
    """The imports that lead to a higher floor, or into another room of the same."""
    for module, others in sorted(imports.items()):
        room = room_of(module)
        for other in sorted(others):
            floor, other_room = FLOOR_OF[room], room_of(other)
            if other_room != room and FLOOR_OF[other_room] >= floor:
                yield f"{module} ({room}, floor {floor}) imports {other} ({other_room}, floor {FLOOR_OF[other_room]})"


def circle(imports: Imports) -> list[str]:
    """Modules each of which is imported by the next one, the first one again at the end; none if there is no circle."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_import_leads_upwards() -> None:
    imports = read_imports()
    assert len(imports) > 150
    assert imports.keys() > COMMANDS
    assert not (found := list(climbs(imports))), "\n".join(found)


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert not (found := circle(read_imports())), " -> ".join(found)


def test_all_rooms_are_inhabited() -> None:
    assert {room_of(module) for module in read_imports()} == FLOOR_OF.keys()


@pytest.mark.parametrize(
    "source",
    [
        "import model.caddy",
        "from model import caddy",
        "from model.caddy import Caddy",
        "def build():\n    from model.caddy import Caddy",
        "if TYPE_CHECKING:\n    from model.caddy import Caddy",
    ],
)
def test_imports_are_found_wherever_they_are(source: str) -> None:
    assert imported_by(f"import json\nfrom pathlib import Path\n{source}") == {"model.caddy"}


def test_imports_that_lead_upwards_are_named() -> None:
    imports = {
        "train": {"training.run", "benchmarks.play"},
        "training.run": {"utils.files", "training.state", "train"},
        "dataset.splits": {"dataset.shards.local"},
        "dataset.shards.local": {"dataset.splits", "dataset.open"},
        "dataset.acquisition.prepare": {"preparation.run"},
        "web.exporter": {"playing.game", "evaluation.plots"},
    }
    assert list(climbs(imports)) == [
        "dataset.shards.local (dataset.shards, floor 2) imports dataset.open (dataset.open, floor 3)",
        "dataset.splits (dataset, floor 1) imports dataset.shards.local (dataset.shards, floor 2)",
        "train (commands, floor 9) imports benchmarks.play (benchmarks, floor 9)",
        "training.run (training, floor 7) imports train (commands, floor 9)",
        "web.exporter (web, floor 6) imports evaluation.plots (evaluation, floor 6)",
    ]
    with pytest.raises(AssertionError, match=r"cellar\.wine stands on no floor"):
        list(climbs({"utils.files": {"cellar.wine"}}))


def test_circles_are_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert sorted(set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}))) == ["a", "b", "c"]

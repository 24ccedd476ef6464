import re
from pathlib import Path

import numpy as np
import pytest

from evaluation import compare
from evaluation.compare import PAPER, PublishedNumber, draw_metrics, read_published, read_runs, table
from evaluation.results import Results, write_results
from tests.command import Command
from utils.command import UserError

FIRST = Results(
    values={
        "own/score": 3,
        "mse/avg": 0.0123456,
        "mse/0": 0.0,
        "mse/1": 0.01,
        "mse/2": 0.02,
        "fid": None,
        "fvd": [1.0],
    },
    intervals={"mse/avg": [0.011, 0.014]},
    provenance={"run_name": "short"},
)
SECOND = Results(
    {"mse/avg": 0.5, "mse/0": 0.0, "mse/1": 0.4, "linear/action_accuracy": 0.75}, provenance={"run_name": "long"}
)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)
    write_results(tmp_path / "a/data.yml", FIRST)
    write_results(tmp_path / "b/data.yml", SECOND)
    return Command(compare, tmp_path, monkeypatch, capsys)


def test_runs_stand_side_by_side() -> None:
    lines = table({"short": FIRST, "long": SECOND}).splitlines()
    assert [re.split(r"  +", line) for line in lines] == [
        ["metric", "short", "long"],
        ["fid ↓", "–", "–"],
        ["mse/avg ↓", "0.01235 [0.011, 0.014]", "0.5"],
        ["linear/action_accuracy ↑", "–", "0.75"],
        ["own/score", "3", "–"],
    ]
    assert len({line.index(re.split(r"  +", line)[1]) for line in lines}) == 1


def test_published_numbers_have_a_column() -> None:
    published = {
        "mse/avg": PublishedNumber(value=0.25, citation="A"),
        "lpips/avg": PublishedNumber(value=1, citation="B"),
    }
    lines = table({"long": SECOND}, published).splitlines()
    assert [re.split(r"  +", line) for line in lines] == [
        ["metric", "long", "paper"],
        ["lpips/avg ↓", "–", "1"],
        ["mse/avg ↓", "0.5", "0.25"],
        ["linear/action_accuracy ↑", "0.75", "–"],
    ]


def test_metrics_are_drawn_with_interval_and_published_number() -> None:
    figure = draw_metrics({"short": FIRST, "long": SECOND}, {"mse/avg": PublishedNumber(value=0.25, citation="A")})
    mse, accuracy = figure.axes
    assert [mse.get_title(), accuracy.get_title()] == ["MSE ↓", "Δ-Acc ↑"]
    assert [np.asarray(line.get_xydata()).tolist() for line in mse.lines[:2]] == [[[0.0123456, 0]], [[0.5, 1]]]
    assert np.allclose(mse.collections[0].get_paths()[0].vertices, [[0.011, 0], [0.014, 0]])
    assert np.asarray(mse.lines[2].get_xdata())[0] == 0.25
    assert [np.asarray(line.get_xydata()).tolist() for line in accuracy.lines] == [[[0.75, 1]]]
    assert [label.get_text() for label in accuracy.get_yticklabels()] == ["short", "long"]


def test_runs_of_one_name_go_by_their_files(tmp_path: Path) -> None:
    paths = [tmp_path / "a/data.yml", tmp_path / "b/data.yml"]
    for path in paths:
        write_results(path, FIRST)
    assert list(read_runs(paths)) == [str(path) for path in paths]


def test_the_command_prints_and_draws(command: Command) -> None:
    code, out, err = command("a/data.yml", "b/data.yml", "--output", "plots")
    assert (code, err) == (0, "")
    assert out == f"{table({'short': FIRST, 'long': SECOND})}\nplots written to plots\n"
    names = {path.name for path in (command.folder / "plots").iterdir()}
    assert names == {"comparison.png", "comparison.pdf", "per_position.png", "per_position.pdf"}


def test_a_single_run_goes_beside_the_paper(command: Command) -> None:
    code, out, _ = command("b/data.yml", "--paper", "tennis")
    assert code == 0
    assert re.split(r"  +", out.splitlines()[0]) == ["metric", "long", "paper (no numbers)"]
    assert f"no numbers of 'tennis' in {PAPER}" in out
    assert (command.folder / "evaluation_results/comparison/comparison.png").exists()


def test_citations_are_printed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    path = command.folder / "paper.yaml"
    path.write_text("bair: {mse/avg: {value: 1e-3, citation: 'Author, table 1'}}\nbreakout: {}\ntennis: {}\n")
    monkeypatch.setattr(compare, "PAPER", path)
    _, out, _ = command("a/data.yml", "--paper", "bair")
    assert re.search(r"^mse/avg ↓ .* 0\.001$", out, re.MULTILINE)
    assert "paper, mse/avg: Author, table 1" in out


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        ("{value: 0.2}", r"bair\.lpips/avg\.citation: missing"),
        ("{value: 0.2, citation: ''}", r"bair\.lpips/avg\.citation"),
        ("{value: 0.2, citation: ' '}", r"bair\.lpips/avg\.citation"),
        ("{citation: A}", r"bair\.lpips/avg\.value: missing"),
        ("{value: high, citation: A}", r"bair\.lpips/avg\.value"),
        ("{value: .nan, citation: A}", r"bair\.lpips/avg\.value"),
        ("0.2", r"bair\.lpips/avg"),
    ],
)
def test_numbers_without_citation_are_refused(tmp_path: Path, number: str, problem: str) -> None:
    path = tmp_path / "paper.yaml"
    path.write_text(f"bair: {{lpips/avg: {number}}}\nbreakout: {{}}\ntennis: {{}}\n")
    with pytest.raises(UserError, match=problem):
        read_published(path, "bair")


@pytest.mark.parametrize("data_set", ["bair", "breakout", "tennis"])
def test_the_file_that_is_shipped_reads(data_set: str) -> None:
    for number in read_published(PAPER, data_set).values():
        assert number.citation


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required"),
        (["missing/data.yml"], "missing/data.yml: cannot be read"),
        (["a"], "a: cannot be read"),
        (["foreign.yml"], "foreign.yml: not the results of an evaluation"),
        (["empty.yml"], "empty.yml: holds none of the metrics"),
        (["a/data.yml", "a/data.yml"], "given twice"),
        (["a/data.yml", "--paper", "pong"], "pong"),
        (["a/data.yml", "--output", "foreign.yml"], "choose another folder with --output"),
    ],
)
def test_mistakes_are_told_in_one_line(command: Command, arguments: list[str], message: str) -> None:
    (command.folder / "foreign.yml").write_text("a: 1\n")
    write_results(command.folder / "empty.yml", Results())
    assert message in command.refused(*arguments)

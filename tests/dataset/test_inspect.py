import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset import inspect
from dataset.annotations import Annotations
from dataset.authors_layout import convert_to_authors_layout
from dataset.inspect import VideoReport, contact_sheet, inspect_video
from dataset.video import write_video
from tests.command import Command
from tests.configurations import FIXTURES

COLOURS = (10, 20, 20, 20, 30)
"""Two frames repeat the one before."""


def write(path: Path, actions: list[int] | None = None, size: tuple[int, int] = (12, 10)) -> Path:
    frames = [Image.new("RGB", size, (colour, 0, 0)) for colour in COLOURS]
    annotations = Annotations.unknown(len(COLOURS))
    if actions:
        annotations.actions, annotations.actions_are_known = actions, True
    write_video(path, frames, annotations)
    return path


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    write(tmp_path / "data/train/00000", [0, 0, 1, 1, 1])
    write(tmp_path / "data/train/00001", [2, 0, 0, 1, 0])
    write(tmp_path / "data/test/00000", size=(24, 10))
    return Command(inspect, tmp_path, monkeypatch, capsys)


def test_what_is_told_of_an_intact_data_set(command: Command) -> None:
    code, out, _ = command(f"{command.folder}/data", "--fps", "4")
    assert code == 0
    assert out.splitlines() == [
        "train     2 videos, 10 frames, 2.5 s at 4 frames/s; 5 to 5 frames a video, median 5",
        "test      1 videos, 5 frames, 1.2 s at 4 frames/s; 5 to 5 frames a video, median 5",
        "sizes     12x10 (2 videos), 24x10 (1 videos)",
        "actions   0 50.0%, 1 40.0%, 2 10.0%; unknown in 1 videos",
        "repeated  6 frames show what the one before shows",
        "damaged   0 of 3 videos",
    ]


def test_the_authors_layout(command: Command) -> None:
    before = command(f"{command.folder}/data")[1]
    for video in (command.folder / "data").glob("*/*"):
        convert_to_authors_layout(video)
    assert command(f"{command.folder}/data")[:2] == (0, before)
    code, out, _ = command(str(FIXTURES / "authors_layout_sample"))
    assert code == 0
    assert re.findall(r"^(\w+) +(\d+) videos, (\d+) frames", out, re.MULTILINE) == [
        ("train", "3", "48"),
        ("val", "1", "16"),
        ("test", "2", "32"),
    ]


def test_a_flat_folder(command: Command) -> None:
    out = command(f"{command.folder}/data/train")[1]
    assert out.startswith("all       2 videos, 10 frames, ")


def test_damaged_videos_are_listed(command: Command) -> None:
    train = command.folder / "data/train"
    (train / "00000/00001.png").write_bytes(b"no picture")
    (train / "00000/00004.png").write_bytes(b"")
    (train / "00001/00002.png").unlink()
    (command.folder / "data/test/00000/annotations.json").write_text("{}")
    code, out, _ = command(f"{command.folder}/data")
    assert code == 3
    assert "damaged   3 of 3 videos" in out
    problems = [line.strip() for line in out.split("of 3 videos\n")[1].splitlines()]
    assert [problem.split(": ")[0] for problem in problems] == [
        f"{train}/00000/00001.png",
        f"{train}/00000/00004.png",
        f"{train}/00001",
        f"{command.folder}/data/test/00000",
    ]
    assert "00002.png is missing" in problems[2]
    assert "format_version" in problems[3]


def test_many_damaged_frames_are_summed_up(command: Command) -> None:
    for index in range(5):
        (command.folder / f"data/train/00000/{index:05d}.png").write_bytes(b"")
    out = command(f"{command.folder}/data")[1]
    assert out.count("the frame cannot be used") == 3
    assert out.endswith(f"{command.folder}/data/train/00000: 2 more frames\n")


def test_frames_beside_a_damaged_one_are_not_compared(tmp_path: Path) -> None:
    path = write(tmp_path / "00000")
    assert inspect_video(path).num_repeated_frames == 2
    (path / "00002.png").write_bytes(b"")
    assert inspect_video(path).num_repeated_frames == 0


def test_a_folder_without_videos_is_refused(command: Command) -> None:
    (command.folder / "empty").mkdir()
    for name in ("empty", "missing"):
        message = command.refused(f"{command.folder}/{name}")
        assert message.startswith(f"{command.folder}/{name}: holds no videos; ")


def test_contact_sheet(command: Command) -> None:
    sheet = command.folder / "sheet.png"
    assert command(f"{command.folder}/data", "--output", str(sheet))[0] == 0
    pixels = np.asarray(Image.open(sheet))
    assert pixels.shape == (3 * 82 - 2, 8 * 98 - 2, 3)
    centres = pixels[40::82, 48::98]
    expected = [COLOURS[index] for index in np.linspace(0, 4, 8).round().astype(int)]
    assert centres[:, :, 0].tolist() == [expected] * 3
    assert centres[..., 1:].max() == 0


def test_the_contact_sheet_shows_undamaged_videos_spread_over_all(tmp_path: Path) -> None:
    reports = []
    for index in range(20):
        frame = Image.new("RGB", (96, 80), (10 * index, 0, 0))
        write_video(tmp_path / f"{index:05d}", [frame])
        reports.append(inspect_video(tmp_path / f"{index:05d}"))
    reports[0] = VideoReport(reports[0].path, problems=("damaged",))
    sheet = contact_sheet(reports)
    assert sheet is not None
    rows = sheet[40::82, 48, 0]
    assert len(rows) == 12
    assert (rows[0], rows[-1]) == (10, 190)
    assert (np.diff(rows.astype(int)) > 0).all()


def test_without_an_undamaged_video_there_is_no_contact_sheet(command: Command) -> None:
    shutil.rmtree(command.folder / "data/train")
    (command.folder / "data/test/00000/00000.png").write_bytes(b"")
    code, out, _ = command(f"{command.folder}/data", "--output", f"{command.folder}/sheet.png")
    assert code == 3
    assert "sheet.png: not written, since no video is undamaged" in out
    assert not (command.folder / "sheet.png").exists()

from pathlib import Path

import pytest

from dataset.acquisition.tennis import shift_video_ids as command_module
from dataset.acquisition.tennis.shift_video_ids import shift_video_ids
from tests.command import Command


def make_folders(root: Path, *ids: int) -> None:
    """Folders named by numbers, whose only file tells their place in order."""
    for place, number in enumerate(ids):
        (root / f"{number:05d}").mkdir(parents=True)
        (root / f"{number:05d}" / "place").write_text(str(place))


def places(root: Path) -> dict[str, str]:
    return {path.name: (path / "place").read_text() for path in sorted(root.glob("[0-9]*"))}


@pytest.mark.parametrize(
    ("ids", "first_id"),
    [((0, 1, 2), 2), ((0, 1, 2), 100), ((5, 6, 7), 6), ((5, 6, 7), 4), ((0, 1, 9, 10), 5), ((3, 8), 3), ((), 7)],
)
def test_videos_are_numbered_from_the_first_id_in_their_order(
    ids: tuple[int, ...], first_id: int, tmp_path: Path
) -> None:
    make_folders(tmp_path, *ids)
    for _ in range(2):
        assert shift_video_ids(tmp_path, first_id) == len(ids)
        assert places(tmp_path) == {f"{first_id + place:05d}": str(place) for place in range(len(ids))}


@pytest.mark.parametrize("num_renamed", range(7))
def test_interrupted_anywhere_it_can_be_completed(
    num_renamed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folders(tmp_path, 0, 1, 2, 3, 20, 21, 22)
    rename = Path.rename
    renamed: list[Path] = []

    def interrupted(path: Path, target: Path) -> Path:
        if len(renamed) == num_renamed:
            raise KeyboardInterrupt
        renamed.append(target)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shift_video_ids(tmp_path, 2)
    monkeypatch.undo()
    shift_video_ids(tmp_path, 2)
    assert places(tmp_path) == {f"{2 + place:05d}": str(place) for place in range(7)}


def test_videos_beyond_five_digits_stay_in_order(tmp_path: Path) -> None:
    make_folders(tmp_path, 99_999, 100_000)
    shift_video_ids(tmp_path, 99_998)
    assert places(tmp_path) == {"99998": "0", "99999": "1"}


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    make_folders(tmp_path / "videos", 0, 1)
    (tmp_path / "videos/.hidden").mkdir()
    command = Command(command_module, tmp_path, monkeypatch, capsys, "--video_directory", str(tmp_path / "videos"))
    code, out, _ = command("--first_id", "519")
    assert (code, out) == (0, f"{tmp_path / 'videos'}: 2 videos, numbered from 00519 on\n")
    assert places(tmp_path / "videos") == {"00519": "0", "00520": "1"}
    (tmp_path / "videos/notes").mkdir()
    assert "the folder 'notes' is not named by a number" in command.refused("--first_id", "0")
    missing = command.refused("--first_id", "0", "--video_directory", str(tmp_path / "missing"))
    assert missing == f"{tmp_path / 'missing'}: no such folder; give one that holds videos"

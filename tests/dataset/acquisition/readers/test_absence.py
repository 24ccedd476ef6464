from pathlib import Path

import pytest
from PIL import Image

from dataset.acquisition.readers.absence import why_nothing_is_found


def put(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".png":
            Image.new("RGB", (8, 8)).save(file)
        else:
            file.touch()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("absent", "there is no such file or folder"),
        ("https://example.org/video.mp4", "it is an address; download the videos first"),
        ("empty", "name a video file or a folder of some"),
        ("arrays.npz", "arrays as in arrays.npz are read from HDF5; store them so: h5py"),
        ("arrays", "arrays as in a.npy are read from HDF5"),
        ("picture.png", "it is one picture; name the folder"),
        ("note.txt", "it is of no kind that is read"),
        ("deep", "videos lie deeper, in deep/a/b, deep/c/d/e; name such a folder, or the one above it"),
        ("many", "videos lie deeper, in many/a/0, many/a/1, many/a/2 and 2 more;"),
        ("pictures", "pictures lie deeper, in folders of pictures/a/b; name such a folder"),
        ("ready", "it is a data set already; let data.data_root of a configuration name it"),
        ("shards", "it is a data set already"),
    ],
)
def test_why_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, reason: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    put(Path("arrays.npz"), Path("arrays/a.npy"), Path("picture.png"), Path("note.txt"))
    put(Path("deep/a/b/1.mp4"), Path("deep/c/d/e/2.ASF"), Path("deep/__MACOSX/a/3.mp4"), Path("deep/.a/b/4.mp4"))
    put(*(Path(f"many/a/{number}/1.mp4") for number in range(5)))
    put(Path("pictures/a/b/c/1.png"))
    put(Path("ready/train/00000/00000.png"), Path("ready/train/__MACOSX/._00000.png"))
    put(Path("shards/shards.json"))
    assert reason in why_nothing_is_found(Path(path))


def test_links_that_go_round_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/round").symlink_to(tmp_path)
    assert why_nothing_is_found(tmp_path) == "name a video file or a folder of some"

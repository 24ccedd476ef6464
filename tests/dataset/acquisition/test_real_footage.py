import shutil
from pathlib import Path

import pytest

from dataset.acquisition import convert_video_directory, prepare
from dataset.acquisition.readers.video_file import VideoFile
from dataset.video import Video
from tests.command import Command
from tests.real_footage import debian_footage, python_package_footage
from utils.configuration import load_configuration

SCENE_LENGTHS = (12, 18, 25, 20, 22, 3)
"""Of bikes.mp4 at 10 frames a second: a roof, a passer-by, a taxi, a fence, a parked bicycle, a wheel."""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def numbers_of_frames(directory: Path) -> dict[str, int]:
    return {path.name: Video(path).num_frames for path in sorted(directory.iterdir()) if path.is_dir()}


@pytest.mark.parametrize("keep_aspect", ["stretch", "crop", "pad"])
def test_scenes_of_a_film(
    keep_aspect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy(python_package_footage("bikes.mp4"), videos / "city bikes – Ümläut.mp4")
    shutil.copy(python_package_footage("carphone_pristine.mp4"), videos)
    (videos / "notes.mp4").write_text("not a video")
    command = Command(convert_video_directory, tmp_path, monkeypatch, capsys)
    code, out, _ = command(
        *("--video_directory", "videos", "--output_directory", "data", "--target_size", "64", "48"),
        *("--keep_aspect", keep_aspect, "--detect_cuts", "--processes", "1"),
    )
    assert code == 3
    assert "skipped notes.mp4: " in out
    assert numbers_of_frames(tmp_path / "data") == {
        "00000_000": 40,  # 120 frames at 29.97 a second
        **dict(zip((f"00001_{scene:03d}" for scene in range(6)), SCENE_LENGTHS, strict=True)),
    }


@pytest.mark.usefixtures("_without_measuring")
def test_a_surveillance_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = debian_footage("vtest.avi")
    probe = VideoFile(source, source.name).probe()
    assert (probe.width, probe.height, probe.frame_rate, probe.num_frames) == (768, 576, 10, 795)
    command = Command(prepare, tmp_path, monkeypatch, capsys)
    code, out, _ = command("--videos", str(source), "--name", "street", "--processes", "1", "--device", "cpu")
    assert code == 0
    assert "data set    data/street: 1 train + 1 val + 1 test videos, 795 frames" in out
    config = load_configuration(tmp_path / "configs/street.yaml")
    assert config.model.representation_network.target_input_size == [96, 80]
    splits = [numbers_of_frames(tmp_path / "data/street" / split) for split in ("train", "val", "test")]
    assert sum(number for split in splits for number in split.values()) == 795
    (video,) = (tmp_path / "data/street/train").iterdir()
    assert Video(video).frame(0).size == (96, 80)

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.acquisition.readers import image_folder
from dataset.acquisition.readers.source import Probe, SourceError


def picture(value: int, size: tuple[int, int] = (12, 10)) -> Image.Image:
    return Image.new("RGB", size, (value, 2 * value, 3 * value))


def write_pictures(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for value, name in enumerate(names):
        picture(value).save(folder / name)
    return folder


def reds(path: Path) -> list[int]:
    (source,) = image_folder.find(path)
    return [int(frame.pixels[0, 0, 0]) for frame in source.frames()]


def test_frames_are_the_pictures_with_numbers_in_order(tmp_path: Path) -> None:
    names = ["shot2.png", "shot9.png", "shot10.png", "shot100.png"]
    write_pictures(tmp_path / "game", names)
    (source,) = image_folder.find(tmp_path / "game")
    assert source.name == "game"
    assert source.probe() == Probe(12, 10, None, 4)
    frames = list(source.frames())
    assert all(np.array_equal(frame.pixels, np.asarray(picture(value))) for value, frame in enumerate(frames))
    assert all(frame.pixels.dtype == np.uint8 and frame.action is None for frame in frames)


def test_names_without_numbers_are_sorted_whatever_their_case(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["B.png", "a.png", "c.png"])
    assert reds(tmp_path) == [1, 0, 2]


def test_the_folder_and_its_direct_sub_folders_are_videos(tmp_path: Path) -> None:
    for folder in (".", "take10", "take9", "take9/deeper", ".hidden"):
        write_pictures(tmp_path / "game" / folder, ["0.png", "1.png"])
    (tmp_path / "game" / "notes").mkdir()
    assert [source.name for source in image_folder.find(tmp_path / "game")] == ["game", "game/take9", "game/take10"]


def test_a_single_picture_a_file_and_hidden_pictures_are_no_video(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["0.png", ".1.png"])
    assert image_folder.find(tmp_path) == []
    assert image_folder.find(tmp_path / "0.png") == []
    assert image_folder.find(tmp_path / "missing") == []


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path / "game", ["0.png", "1.png", "2.png"])
    picture(7, (12, 11)).save(tmp_path / "game" / "2.png")
    (source,) = image_folder.find(tmp_path / "game")
    message = r"^game: 2\.png has 12 x 11 pixels, but 0\.png has 12 x 10; bring all"
    with pytest.raises(SourceError, match=message):
        source.probe()
    frames = source.frames()
    assert [int(next(frames).pixels[0, 0, 0]) for _ in range(2)] == [0, 1]
    with pytest.raises(SourceError, match=message):
        next(frames)


def test_a_damaged_picture_is_named_after_the_intact_ones(tmp_path: Path) -> None:
    write_pictures(tmp_path / "game", ["0.png", "1.png"])
    content = (tmp_path / "game" / "1.png").read_bytes()
    (tmp_path / "game" / "1.png").write_bytes(content[: len(content) // 2])
    (source,) = image_folder.find(tmp_path / "game")
    frames = source.frames()
    next(frames)
    with pytest.raises(SourceError, match=r"^game: 1\.png: cannot be read: "):
        next(frames)


def test_what_only_looks_like_a_picture_is_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "game", ["0.png", "1.png"])
    (tmp_path / "game" / "0.png").write_text("%!PS-Adobe-3.0 EPSF-3.0")
    with pytest.raises(SourceError, match=r"game: 0\.png: cannot be read: cannot identify"):
        image_folder.find(tmp_path / "game")[0].probe()


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path / "game", ["0.png", "1.png"])
    monkeypatch.setattr("dataset.acquisition.readers.pictures.MAX_PIXELS", 119)
    with pytest.raises(SourceError, match="frames of 12 x 10 pixels are empty or too large"):
        next(image_folder.find(tmp_path / "game")[0].frames())


def test_transparency_becomes_white(tmp_path: Path) -> None:
    for index in range(2):
        Image.new("RGBA", (4, 4), (200, 0, 0, 0 if index else 255)).save(tmp_path / f"{index}.png")
    colours = [tuple(frame.pixels[0, 0]) for frame in image_folder.find(tmp_path)[0].frames()]
    assert colours == [(200, 0, 0), (255, 255, 255)]


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    for index in range(2):
        Image.fromarray(pixels).save(tmp_path / f"{index}.jpg", exif=exif, quality=95)
    (source,) = image_folder.find(tmp_path)
    assert (source.probe().width, source.probe().height) == (16, 32)
    frame = next(source.frames()).pixels
    assert frame.shape == (32, 16, 3)
    assert frame[:14].min() > 240
    assert frame[18:].max() < 15

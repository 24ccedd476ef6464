from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.acquisition.readers import gif, image_folder
from dataset.acquisition.readers.source import Probe, SourceError

COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]


def write_animation(file: Path, duration: int | list[int] = 50, size: tuple[int, int] = (12, 10)) -> Path:
    first, *others = [Image.new("RGB", size, colour) for colour in COLOURS]
    first.save(file, save_all=True, append_images=others, duration=duration, lossless=True)
    return file


@pytest.mark.parametrize("suffix", ["gif", "webp", "GIF"])
def test_frames_and_frame_rate(tmp_path: Path, suffix: str) -> None:
    write_animation(tmp_path / f"play.{suffix}")
    (source,) = gif.find(tmp_path)
    assert source.name == f"play.{suffix}"
    assert source.probe() == Probe(12, 10, Fraction(20), 3)
    frames = [frame.pixels for frame in source.frames()]
    assert [pixels.shape for pixels in frames] == [(10, 12, 3)] * 3
    assert [tuple(pixels[5, 6]) for pixels in frames] == COLOURS


def test_the_frame_rate_is_the_average_one(tmp_path: Path) -> None:
    write_animation(tmp_path / "a.gif", [100, 200, 300])
    assert gif.find(tmp_path)[0].probe().frame_rate == Fraction(5)


def test_frames_without_a_duration_are_shown_for_a_tenth_of_a_second(tmp_path: Path) -> None:
    write_animation(tmp_path / "a.gif", 0)
    assert gif.find(tmp_path)[0].probe().frame_rate == Fraction(10)


def test_files_and_those_in_direct_sub_folders_are_found(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for name in ("b10.gif", "b9.gif", "more/a.gif", ".hidden.gif"):
        write_animation(tmp_path / name)
    assert [source.name for source in gif.find(tmp_path)] == ["b9.gif", "b10.gif", "more/a.gif"]
    assert [source.name for source in gif.find(tmp_path / "b9.gif")] == ["b9.gif"]


def test_still_webp_pictures_are_an_image_folder_and_animated_ones_are_not(tmp_path: Path) -> None:
    for index in range(2):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{index}.webp")
    write_animation(tmp_path / "2.webp")
    assert [source.name for source in gif.find(tmp_path)] == ["2.webp"]
    (source,) = image_folder.find(tmp_path)
    assert source.probe().num_frames == 2


def test_transparency_becomes_white(tmp_path: Path) -> None:
    frames = [Image.new("RGBA", (8, 8), (0, 0, value, 0)) for value in (10, 20)]
    for frame in frames:
        frame.paste((9, 9, 9, 255), (0, 0, 4, 8))
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True, exact=True)
    pixels = next(gif.find(tmp_path)[0].frames()).pixels
    assert np.array_equal(np.unique(pixels[:, :4]), [9])
    assert np.array_equal(np.unique(pixels[:, 4:]), [255])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF89a no picture")
    with pytest.raises(SourceError, match=r"^a\.gif"):
        gif.find(tmp_path)[0].probe()


def test_a_truncated_file_keeps_its_intact_frames(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    first, *others = [Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)) for _ in range(3)]
    file = tmp_path / "a.gif"
    first.save(file, save_all=True, append_images=others)
    file.write_bytes(file.read_bytes()[:-800])
    frames = gif.find(tmp_path)[0].frames()
    assert [next(frames).pixels.shape for _ in range(2)] == [(40, 40, 3)] * 2
    with pytest.raises(SourceError, match=r"^a\.gif: frame 2: cannot be read"):
        next(frames)


def test_too_many_pixels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_animation(tmp_path / "a.gif")
    monkeypatch.setattr("dataset.acquisition.readers.pictures.MAX_PIXELS", 119)
    with pytest.raises(SourceError, match=r"a\.gif: frames of 12 x 10 pixels"):
        gif.find(tmp_path)[0].probe()

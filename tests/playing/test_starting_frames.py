import shutil
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from dataset.open import open_split
from dataset.video import Video
from playing.starting_frames import (
    NUM_STORED,
    STARTING_FRAMES,
    choose_starting_frames,
    read_initial_frame,
    stored_starting_frames,
)
from tests.dataset.acquisition.clips import encode
from tests.synthetic import SIDE, square_configuration, write_square_videos
from utils.command import UserError

STACKING = ("training.batching.observation_stacking=2", "evaluation.batching.observation_stacking=2")


def frames_of(folder: Path) -> list[np.ndarray]:
    video = Video(folder)
    return [np.asarray(video.frame(index)) for index in range(len(video))]


def test_a_random_frame_of_the_test_split_else_of_validation(square: Path) -> None:
    config = square_configuration(square)
    validation = np.stack([frame for video in ("00000", "00001") for frame in frames_of(square / "data/val" / video)])
    for split in ("val", "test"):
        if split == "test":
            shutil.move(square / "data/val/00001", square / "data/test/00001")
        draw, source = choose_starting_frames(config, None, {})
        assert source == f"{square}/data ({split})"
        drawn = [draw(np.random.default_rng(seed)) for seed in range(20)]
        for stack in drawn:
            assert stack.shape == (1, SIDE, SIDE, 3)
            assert (stack == validation).all(axis=(1, 2, 3)).any()
        assert len({stack.tobytes() for stack in drawn}) > 2
        assert np.array_equal(draw(np.random.default_rng(0)), drawn[0])


def test_stacks_reach_back_in_the_video(square: Path) -> None:
    shutil.rmtree(square / "data/val/00001")
    frames = frames_of(square / "data/val/00000")
    draw, _ = choose_starting_frames(square_configuration(square, *STACKING), None, {})
    for seed in range(20):
        before, now = draw(np.random.default_rng(seed))
        found = [i for i, frame in enumerate(frames) if np.array_equal(frame, now)]
        assert any(np.array_equal(frames[max(0, index - 1)], before) for index in found)


def test_without_data_the_checkpoint_has_some(square: Path) -> None:
    config = square_configuration(square)
    stacks = stored_starting_frames(open_split(config, "val", config.evaluation.batching))
    assert stacks.shape == (NUM_STORED, 1, SIDE, SIDE, 3)
    shutil.rmtree(square / "data")
    draw, source = choose_starting_frames(config, None, {STARTING_FRAMES: torch.from_numpy(stacks)})
    assert source == "the checkpoint"
    drawn = {draw(np.random.default_rng(seed)).tobytes() for seed in range(60)}
    assert drawn == {stack.tobytes() for stack in stacks}
    with pytest.raises(UserError, match=r"nothing to start from: .* give --initial_frame"):
        choose_starting_frames(config, None, {})


def test_few_frames_are_stored_once(tmp_path: Path) -> None:
    write_square_videos(tmp_path / "data", {"train": 1, "val": 1}, length=5)
    config = square_configuration(tmp_path)
    assert len(stored_starting_frames(open_split(config, "val", config.evaluation.batching))) == 5


def test_a_picture_fills_the_stack(square: Path) -> None:
    config = square_configuration(square, *STACKING)
    frame = frames_of(square / "data/val/00000")[3]
    Image.fromarray(frame).save(square / "picture.png")
    draw, source = choose_starting_frames(config, f"{square}/picture.png", {})
    assert source == f"{square}/picture.png"
    assert np.array_equal(draw(np.random.default_rng(0)), np.stack([frame, frame]))


def test_a_picture_as_large_as_the_data_is_cut_as_the_data(square: Path) -> None:
    config = square_configuration(square, "data.crop=[16, 0, 48, 32]")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    Image.fromarray(pixels).save(square / "picture.png")
    assert np.array_equal(read_initial_frame(config, f"{square}/picture.png")[0], pixels[:, 16:])


def test_of_other_pictures_the_middle_is_taken(square: Path) -> None:
    pixels = np.zeros((64, 200, 3), np.uint8)
    pixels[:, 60:140] = (10, 200, 30)
    Image.fromarray(pixels).save(square / "a@wide.png")
    (stack,) = read_initial_frame(square_configuration(square), f"{square}/a@wide.png")
    assert stack.shape == (SIDE, SIDE, 3)
    assert (stack == (10, 200, 30)).all()


def test_pictures_of_all_kinds_look_as_in_a_data_set(square: Path) -> None:
    config = square_configuration(square)
    grey = np.full((SIDE, SIDE), 0x8040, np.uint16)
    rgba = np.full((SIDE, SIDE, 4), (10, 20, 30, 255), np.uint8)
    rgba[: SIDE // 2] = 0
    palette = Image.fromarray(rgba).quantize(8)
    turned = Image.new("RGB", (SIDE, SIDE), "red")
    turned.paste("blue", (0, 0, SIDE, SIDE // 2))
    exif = Image.Exif()
    exif[0x0112] = 3
    pictures = {
        "grey16.png": (Image.fromarray(grey), (128, 128, 128), (128, 128, 128)),
        "alpha.png": (Image.fromarray(rgba), (255, 255, 255), (10, 20, 30)),
        "palette.png": (palette, (255, 255, 255), (10, 20, 30)),
        "grey.png": (Image.fromarray(rgba).convert("LA"), (255, 255, 255), (18, 18, 18)),
        "turned.jpg": (turned, (254, 0, 0), (0, 0, 254)),
    }
    for name, (image, top, bottom) in pictures.items():
        image.save(square / name, exif=exif if name == "turned.jpg" else Image.Exif())
        (stack,) = read_initial_frame(config, str(square / name))
        assert tuple(stack[2, 2]) == top, name
        assert tuple(stack[-3, 2]) == bottom, name


def test_a_transparent_film_is_on_white_and_its_pixels_are_square(square: Path) -> None:
    rgba = np.zeros((4, SIDE, SIDE // 2, 4), np.uint8)
    rgba[:, SIDE // 2 :] = (200, 100, 0, 255)
    encode(square / "film.mov", rgba, "-c:v", "png", "-pix_fmt", "rgba", "-vf", "setsar=2")
    (stack,) = read_initial_frame(square_configuration(square), f"{square}/film.mov@0.1")
    assert stack.shape == (SIDE, SIDE, 3)
    assert (stack[2] == 255).all()
    np.testing.assert_allclose(stack[-3, [2, -3]], [(200, 100, 0)] * 2, atol=2)


@pytest.fixture
def film(square: Path) -> Path:
    """A film of ten frames a second, frame i of the grey 20 i."""
    path = square / "film.mp4"
    writer = imageio_ffmpeg.write_frames(path, (64, 64), fps=10, codec="libx264", output_params=["-crf", "1"])
    writer.send(None)
    for index in range(12):
        writer.send(np.full((64, 64, 3), 20 * index, np.uint8))
    writer.close()
    return path


@pytest.mark.parametrize(
    ("time", "greys"), [("0s", (0, 0)), ("0.5s", (80, 100)), ("0.55", (80, 100)), ("1.1s", (200, 220))]
)
def test_a_moment_of_a_film(square: Path, film: Path, time: str, greys: tuple[int, int]) -> None:
    stack = read_initial_frame(square_configuration(square, *STACKING), f"{film}@{time}")
    assert stack.shape == (2, SIDE, SIDE, 3)
    np.testing.assert_allclose(stack.mean(axis=(1, 2, 3)), greys, atol=4)


def test_a_film_without_a_moment_begins_at_its_first_frame(square: Path, film: Path) -> None:
    stack = read_initial_frame(square_configuration(square, *STACKING), str(film))
    assert stack.shape == (2, SIDE, SIDE, 3)
    assert stack.max() <= 4


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("absent.png", "absent.png: not a picture that can be read"),
        ("square.yaml", "square.yaml: not a picture that can be read"),
        ("absent.mp4", "absent.mp4: not a video that can be read (absent.mp4: cannot be read: No such file"),
        ("absent.mp4@1s", "absent.mp4: no such file"),
        ("film.mp4@soon", "'soon' is no time; write seconds"),
        ("film.mp4@100s", "the video is shorter than 100.0 s"),
        ("square.yaml@1s", "not a video that can be read"),
    ],
)
def test_what_cannot_be_read(square: Path, film: Path, name: str, told: str) -> None:
    with pytest.raises(UserError, match="--initial_frame ") as error:
        read_initial_frame(square_configuration(square), str(film.parent / name))
    assert told in str(error.value)
    assert len(str(error.value).splitlines()) == 1

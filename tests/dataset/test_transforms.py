import numpy as np
import pytest
import torch
from PIL import Image

from dataset.transforms import FrameTransform
from utils.command import UserError
from utils.images import normalize, to_uint8


@pytest.fixture
def frame() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_whole_frame_of_the_right_size_is_left_as_it_is(frame: Image.Image) -> None:
    pixels = FrameTransform.of([0, 0, 30, 20], [30, 20])(frame)

    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, np.asarray(frame))


def test_crop_without_resize_is_exact(frame: Image.Image) -> None:
    pixels = FrameTransform.of([4, 3, 20, 19], [16, 16])(frame)

    assert np.array_equal(pixels, np.asarray(frame)[3:19, 4:20])


def test_crop_comes_before_the_bilinear_resize(frame: Image.Image) -> None:
    pixels = FrameTransform.of([4, 3, 20, 19], [32, 8])(frame)

    cropped = Image.fromarray(np.asarray(frame)[3:19, 4:20])
    assert pixels.shape == (8, 32, 3)
    assert np.array_equal(pixels, np.asarray(cropped.resize((32, 8), Image.Resampling.BILINEAR)))


@pytest.mark.parametrize("crop", [[-1, 0, 30, 20], [0, 0, 31, 20], [0, 0, 30, 21], [5, 0, 5, 20], [0, 9, 30, 8]])
def test_crop_outside_of_the_frame_is_refused(frame: Image.Image, crop: list[int]) -> None:
    with pytest.raises(UserError, match=r"data\.crop .* does not lie inside a frame of 30x20 pixels"):
        FrameTransform.of(crop, [16, 16])(frame)


def test_normalize_spans_the_unit_range_and_is_undone_by_to_uint8() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    frames = normalize(pixels)

    assert frames.dtype == torch.float32
    assert (frames[0], frames[-1]) == (-1, 1)
    assert torch.equal(to_uint8(frames), pixels)


def test_to_uint8_clamps_and_leaves_its_input_alone() -> None:
    frames = torch.tensor([-3.0, 0.0, 1.5])

    assert to_uint8(frames).tolist() == [0, 128, 255]
    assert frames.tolist() == [-3.0, 0.0, 1.5]

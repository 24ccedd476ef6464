"""Pixel errors against the published numbers and closed forms."""

import pytest
import torch
from torch import Tensor

from evaluation.metrics.frame_errors import motion_masked_mse, mse, per_frame, psnr
from tests.reference import load_arrays, relative_error

ARRAYS = load_arrays("metrics")
REFERENCE, GENERATED = (torch.from_numpy(ARRAYS[name]) for name in ("reference", "generated"))
METRICS = {"mse": mse, "motion_masked_mse": motion_masked_mse, "psnr": psnr}


@pytest.mark.parametrize("name", METRICS)
def test_numbers_are_the_published_ones(name: str) -> None:
    assert relative_error(METRICS[name](REFERENCE, GENERATED), ARRAYS[name]) < 1e-6


def test_equal_frames_have_no_error_and_the_highest_ratio() -> None:
    assert (mse(REFERENCE, REFERENCE) == 0).all()
    assert (motion_masked_mse(REFERENCE, REFERENCE) == 0).all()
    torch.testing.assert_close(psnr(REFERENCE, REFERENCE), torch.full((2, 4), 80.0))


def test_errors_count_only_where_the_reference_moves() -> None:
    reference = torch.zeros(1, 2, 3, 2, 2)
    reference[:, 1, :, 0, 0] = 0.5
    wrong_where_still, wrong_where_moving = reference.clone(), reference.clone()
    wrong_where_still[..., 1, 1] += 0.2
    wrong_where_moving[..., 0, 0] += 0.2

    assert motion_masked_mse(reference, wrong_where_still).tolist() == [[0, 0]]
    expected = torch.tensor([[0, 0.2**2 * 0.5 / 4]])
    torch.testing.assert_close(motion_masked_mse(reference, wrong_where_moving), expected)


@pytest.mark.parametrize("chunk_size", [1, 3, 100])
def test_frames_keep_their_places_whatever_the_chunks(chunk_size: int) -> None:
    sizes = []

    def compare(true: Tensor, made: Tensor) -> Tensor:
        sizes.append(len(true))
        return (true - made).square().mean(dim=(1, 2, 3))

    result = per_frame(compare, REFERENCE, GENERATED, chunk_size)

    torch.testing.assert_close(result, mse(REFERENCE, GENERATED))
    assert max(sizes) == min(chunk_size, 8)
    assert sum(sizes) == 8

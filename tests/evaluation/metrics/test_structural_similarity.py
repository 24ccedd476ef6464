"""SSIM against the published numbers, another implementation and closed forms."""

import pytest
import torch
from skimage.metrics import structural_similarity

from evaluation.metrics.structural_similarity import ssim
from tests.reference import load_arrays, relative_error

ARRAYS = load_arrays("metrics")
REFERENCE, GENERATED = (torch.from_numpy(ARRAYS[name]) for name in ("reference", "generated"))


@pytest.mark.parametrize("chunk_size", [3, 64])
def test_numbers_are_the_published_ones(chunk_size: int) -> None:
    assert relative_error(ssim(REFERENCE, GENERATED, chunk_size), ARRAYS["ssim"]) < 2e-6


def test_scikit_image_computes_the_same() -> None:
    found = ssim(REFERENCE, GENERATED).flatten().tolist()
    expected = [
        structural_similarity(
            true, made, channel_axis=0, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for true, made in zip(REFERENCE.flatten(0, 1).numpy(), GENERATED.flatten(0, 1).numpy(), strict=True)
    ]
    assert found == pytest.approx(expected, rel=1e-4)


def test_equal_frames_are_alike() -> None:
    torch.testing.assert_close(ssim(REFERENCE, REFERENCE), torch.ones(2, 4))


def test_the_range_of_values_is_that_of_frames_not_of_what_they_show() -> None:
    dark, darker = torch.full((1, 1, 3, 16, 16), 0.02), torch.full((1, 1, 3, 16, 16), 0.01)

    expected = (2 * 0.02 * 0.01 + 1e-4) / (0.02**2 + 0.01**2 + 1e-4)  # only luminances differ

    assert ssim(dark, darker).item() == pytest.approx(expected, rel=1e-4)

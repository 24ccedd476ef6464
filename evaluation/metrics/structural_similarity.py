"""Structural similarity of true and generated frames: SSIM (docs/method.md#frame-metrics).

Dimensions: B sequences, T frames of each, N frames, H x W pixels.
"""

from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from evaluation.metrics.frame_errors import per_frame

WINDOW = 11
"""Side in pixels of the Gaussian window, whose standard deviation is 1.5."""
MARGIN = WINDOW // 2


def ssim(reference: Tensor, generated: Tensor, chunk_size: int = 64) -> Tensor:
    """Return the structural similarity of each frame, 1 for equal ones, over windows inside the frame: (B, T).

    Args:
        reference: (B, T, 3, H, W) in [0, 1], H and W at least `WINDOW`.
        generated: (B, T, 3, H, W) in [0, 1].
        chunk_size: number of frames compared at a time.
    """
    return per_frame(_ssim, reference, generated, chunk_size)


def _ssim(reference: Tensor, generated: Tensor) -> Tensor:
    _, similarity = structural_similarity_index_measure(
        generated, reference, kernel_size=WINDOW, sigma=1.5, reduction="none", data_range=1.0, return_full_image=True
    )
    return similarity[..., MARGIN:-MARGIN, MARGIN:-MARGIN].mean(dim=(1, 2, 3))

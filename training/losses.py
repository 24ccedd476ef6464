"""The terms of the objective, each a function of tensors (docs/method.md#objective, paper section 3.5).

Dimensions: B batch, T observations in a sequence, K actions, D action-space dimension, C channels, H x W pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.action import Gaussian
from training.camera_motion import camera_movement
from utils import ranks

MINIMUM_KL_VARIANCE = 0.05
"""Lower limit of the variances in the action-state KL."""

NUM_BANDS = 4
"""Bands of rows, or of columns, into which a frame is split; movement keeps the total brightness of each the same."""

MOST_LEFT_OVER = 1 / 3
"""A band is ignored if this share of its change, or more, is due to things that appear or vanish."""


def resize_frames(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of (B, T, C, H, W) to `size` (height, width), corners not aligned, no antialias."""
    if frames.shape[-2:] == size:
        return frames
    resized = functional.interpolate(frames.flatten(0, 1), size=size, mode="bilinear", align_corners=False)
    return resized.unflatten(0, frames.shape[:2])


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Mean of (B, T, C, H, W), or the mean over images of each image's mean weighted by (B, T, 1, H, W)."""
    if weights is None:
        return values.mean()
    per_image = (values.mean(dim=2, keepdim=True) * weights).sum(dim=(-3, -2, -1))
    total = weights.sum(dim=(-3, -2, -1)).clamp_min(torch.finfo(weights.dtype).eps)
    return (per_image / total).mean()


def reconstruction_loss(truth: Tensor, reconstruction: Tensor, weights: Tensor | None = None) -> Tensor:
    """L1 between frames (B, T, 3, H, W) of one resolution, weighted by motion (B, T, 1, H, W) if given."""
    return weighted_mean((truth - reconstruction).abs(), weights)


def cross_entropy(
    truth: Tensor, log_probability: Tensor, log_complement: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy in nats of pixels as probabilities, minus its minimum, so that it is 0 for the true frames.

    Args:
        truth: (B, T, 3, H, W) in [-1, 1], taken as p = (truth + 1) / 2.
        log_probability: (B, T, 3, H, W) log p of the reconstruction.
        log_complement: (B, T, 3, H, W) log(1 - p) of the reconstruction.
        weights: (B, T, 1, H, W) weights of the pixels.
    """
    p = (truth + 1) / 2
    least = torch.special.entr(p) + torch.special.entr(1 - p)
    return weighted_mean(-p * log_probability - (1 - p) * log_complement - least, weights)


def states_loss(reconstructed: Tensor, true: Tensor) -> Tensor:
    """Mean squared error of states of the same shape; the true ones get no gradient."""
    return functional.mse_loss(reconstructed, true.detach())


def entropy(probabilities: Tensor) -> Tensor:
    """Mean entropy in nats of distributions (..., K)."""
    return torch.special.entr(probabilities).sum(dim=-1).mean()


def kl_to_standard_normal(gaussian: Gaussian) -> Tensor:
    """KL(gaussian, N(0, I)) in nats, summed over D and averaged over the rest."""
    variance, mean = gaussian.variance, gaussian.mean
    return 0.5 * (variance + mean.square() - 1 - variance.log()).sum(dim=-1).mean()


def kl_between_action_states(reconstructed: Gaussian, true: Gaussian) -> Tensor:
    """KL(reconstructed, true) of action states (B, T, D), summed over D and averaged over the rest.

    Only the reconstructed mean gets a gradient. Variances are clamped after their logarithms are taken.
    """
    variance, true = reconstructed.variance.detach(), true.detach()
    log_ratio = true.variance.log() - variance.log()
    variance, true_variance = variance.clamp_min(MINIMUM_KL_VARIANCE), true.variance.clamp_min(MINIMUM_KL_VARIANCE)
    distance = (true.mean - reconstructed.mean).square()
    return 0.5 * (log_ratio + (variance + distance) / true_variance - 1).sum(dim=-1).mean()


def motion_alignment_loss(direction_means: Tensor, frames: Tensor) -> Tensor:
    """`alignment_loss` with the visible movement of things: initialises the action network.

    The movement between two frames is estimated without labels as the change of the brightness's first moments: how far
    bright objects moved times their size. Objects that stand still add nothing, however large.

    Objects that appear or vanish, such as a brick that is hit, have no movement that could be estimated. The larger
    their share of all change, the less the directions are constrained.

    Args:
        direction_means: (B, T-1, D).
        frames: (B, T, C, H, W).

    Returns:
        The mean squared distance, each weighted by the share of the change that is movement.
    """
    return alignment_loss(direction_means, *visible_movement(frames))


def camera_alignment_loss(direction_means: Tensor, frames: Tensor) -> Tensor:
    """`alignment_loss` of directions (B, T-1, D) with the camera's movement between frames (B, T, C, H, W)."""
    movement = camera_movement(frames)
    return alignment_loss(direction_means, movement, torch.ones_like(movement))


def alignment_loss(direction_means: Tensor, movement: Tensor, share: Tensor) -> Tensor:
    """Squared distance of the directions' first axes from a movement.

    The movement is divided by its root mean square over the batch of all ranks. Its axes are x and y, or x alone in one
    dimension.

    Args:
        direction_means: (B, T-1, D).
        movement: (B, T-1, 2).
        share: (B, T-1, 2) weights of the distances, 0 to 1.

    Returns:
        The mean weighted squared distance.
    """
    num_axes = min(direction_means.shape[-1], 2)
    movement, share = movement[..., :num_axes], share[..., :num_axes]
    scale = ranks.mean(movement.square().mean(dim=(0, 1))).sqrt().clamp_min(torch.finfo(movement.dtype).eps)
    return (share * (direction_means[..., :num_axes] - movement / scale).square()).mean()


def supervision_loss(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in nats of the inferred actions and the known ones, the mean over labelled steps of all ranks.

    Args:
        log_probabilities: (B, T-1, K).
        labels: (B, T-1) known actions, negative where they are unknown.

    Returns:
        A scalar, 0 if no step is labelled.
    """
    is_labelled = labels >= 0
    surprise = -log_probabilities.gather(-1, labels.clamp_min(0).unsqueeze(-1)).squeeze(-1)
    count = ranks.mean(is_labelled.sum().to(surprise.dtype))
    return torch.where(is_labelled, surprise, 0).sum() / count.clamp_min(torch.finfo(surprise.dtype).eps)


def visible_movement(frames: Tensor) -> tuple[Tensor, Tensor]:
    """The movement between consecutive frames along x and y, and its share of all change: (B, T-1, 2) each."""
    change = frames.detach().mean(dim=2).diff(dim=1)
    movement, share = zip(*(_movement_along_rows(part) for part in (change, change.transpose(-2, -1))), strict=True)
    return torch.stack(movement, dim=-1), torch.stack(share, dim=-1)


def _movement_along_rows(change: Tensor) -> tuple[Tensor, Tensor]:
    """The movement along the last dimension of a brightness change (B, T-1, H, W), and its share of it: (B, T-1) each.

    A band of rows counts less the more its total brightness changes: the rest has appeared there or vanished.
    """
    length = change.shape[-1]
    position = torch.linspace(-1, 1, length, device=change.device, dtype=change.dtype)
    bands = functional.adaptive_avg_pool2d(change, (NUM_BANDS, length))
    epsilon = torch.finfo(change.dtype).eps
    total = bands.abs().sum(dim=-1)
    left_over = bands.sum(dim=-1).abs() / total.clamp_min(epsilon)
    counts = (1 - left_over / MOST_LEFT_OVER).relu()
    share = (total * counts).sum(dim=-1) / total.sum(dim=-1).clamp_min(epsilon)
    return (bands @ position / length * counts).mean(dim=-1), torch.where(total.any(dim=-1), share, 1.0)


def joint_action_matrix(p: Tensor, q: Tensor) -> Tensor:
    """Joint distribution (K, K) of the actions inferred from true and from reconstructed sequences of all ranks.

    Args:
        p: (..., K) action probabilities of true sequences.
        q: (..., K) action probabilities of the reconstructions of the same sequences.
    """
    joint = ranks.total(p.flatten(0, -2).T @ q.flatten(0, -2))
    joint = (joint + joint.T) / 2
    return joint / joint.sum()


def mutual_information(joint: Tensor, entropy_lambda: float = 1.0) -> Tensor:
    """Mutual information in nats of a joint distribution (K, K), with marginal entropies times `entropy_lambda`."""
    epsilon = torch.finfo(joint.dtype).eps
    rows = joint.sum(dim=1, keepdim=True).clamp_min(epsilon)
    columns = joint.sum(dim=0, keepdim=True).clamp_min(epsilon)
    joint = joint.clamp_min(epsilon)
    return (joint * (joint.log() - entropy_lambda * rows.log() - entropy_lambda * columns.log())).sum()


class SmoothJointEstimator(nn.Module):
    """Moving average of the joint action matrix, for the *smooth* variant of the mutual information."""

    estimated_matrix: Tensor  # (K, K)

    def __init__(self, actions_count: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("estimated_matrix", torch.full((actions_count, actions_count), actions_count**-2))

    def forward(self, joint: Tensor) -> Tensor:
        """Update the average with the joint matrix (K, K) of a batch and return it.

        Only the batch carries a gradient, not the average so far.
        """
        smooth = (1 - self.alpha) * self.estimated_matrix + self.alpha * joint
        self.estimated_matrix.copy_(smooth.detach())
        return smooth


def motion_weights(
    truth: Tensor,
    reconstruction: Tensor | None,
    bias: float = 0.0,
    dilation: int = 1,
    limit: float | None = None,
    reconstruction_share: float = 1.0,
) -> Tensor:
    """Weights for the losses: how much each pixel changes from frame to frame, without gradient.

    Args:
        truth: (B, T, 3, H, W) true frames.
        reconstruction: (B, T, 3, H, W) reconstructed frames, whose change is added; None for the truth alone.
        bias: weight of a pixel that does not change.
        dilation: odd side in pixels of a max-pooling window over the change; 1 for none.
        limit: largest change before the bias is added.
        reconstruction_share: factor of the reconstruction's change.

    Returns:
        (B, T, 1, H, W). The first image of each sequence, which has no predecessor, is all ones.
    """
    weights = _movement(truth)
    if reconstruction is not None:
        weights = weights + reconstruction_share * _movement(reconstruction)
    if dilation > 1:
        reach = dilation // 2
        columns = functional.max_pool2d(weights.flatten(0, 1), (dilation, 1), stride=1, padding=(reach, 0))
        windows = functional.max_pool2d(columns, (1, dilation), stride=1, padding=(0, reach))
        weights = windows.unflatten(0, weights.shape[:2])
    if limit is not None:
        weights = weights.clamp_max(limit)
    return torch.cat([torch.ones_like(weights[:, :1]), weights + bias], dim=1)


def foreground_weights(
    truth: Tensor,
    reconstruction: Tensor | None,
    bias: float = 0.0,
    limit: float | None = None,
    reconstruction_share: float = 1.0,
) -> Tensor:
    """Weights for the losses: how far each pixel is from the sequence's background, without gradient.

    The background is the median over time of the true frames. A pixel's weight is the largest difference from it of the
    true frame, of the true frame before, so that a place that has to be cleared counts too, and of the reconstruction,
    so that wrong pixels do not cost less than missing ones.

    Args:
        truth: (B, T, 3, H, W) true frames.
        reconstruction: (B, T, 3, H, W) reconstructed frames; None for the truth alone.
        bias: weight of a background pixel.
        limit: largest weight before the bias is added.
        reconstruction_share: factor of the reconstruction's differences.

    Returns:
        (B, T, 1, H, W).
    """
    still = truth.detach().median(dim=1, keepdim=True).values
    weights = _difference(truth, still)
    weights = torch.cat([weights[:, :1], torch.maximum(weights[:, 1:], weights[:, :-1])], dim=1)
    if reconstruction is not None:
        weights = torch.maximum(weights, reconstruction_share * _difference(reconstruction, still))
    return weights.clamp_max(limit) + bias if limit is not None else weights + bias


def _difference(frames: Tensor, still: Tensor) -> Tensor:
    """Largest absolute difference over the channels from a picture (B, 1, 3, H, W): (B, T, 1, H, W)."""
    return (frames.detach() - still).abs().amax(dim=2, keepdim=True)


def _movement(frames: Tensor) -> Tensor:
    """Sum over the channels of absolute differences of consecutive frames: (B, T-1, 1, H, W)."""
    return frames.detach().diff(dim=1).abs().sum(dim=2, keepdim=True)


def perceptual_level_losses(
    truth: Sequence[Tensor],
    reconstruction: Sequence[Tensor],
    batch_shape: tuple[int, int],
    weights: Tensor | None = None,
) -> list[Tensor]:
    """L1 between the features of each level of a perceptual network.

    Args:
        truth: per level (B*T, C, h, w) features of true frames.
        reconstruction: per level features of reconstructed frames, of the same shapes.
        batch_shape: (B, T).
        weights: (B, T, 1, H, W) motion weights, resized bilinearly to each level.

    Returns:
        One scalar per level.
    """
    losses = []
    for true_features, features in zip(truth, reconstruction, strict=True):
        distance = (features - true_features).abs().to(torch.promote_types(features.dtype, torch.float32))
        distance = distance.unflatten(0, batch_shape)
        level_weights = None if weights is None else resize_frames(weights, (distance.shape[-2], distance.shape[-1]))
        losses.append(weighted_mean(distance, level_weights))
    return losses

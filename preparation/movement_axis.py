"""The axis along which the played part moves: an angle in the action space, whose first axes follow x and y."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from training.camera_motion import camera_movement
from training.losses import visible_movement

ROUNDED_TO = 15
"""Degrees: what is estimated is no more precise."""


def movement_angle(before: np.ndarray, after: np.ndarray, box: Sequence[int] | None, of_camera: bool) -> int:
    """Return the angle of the main movement from frames to others, in degrees of the action space.

    It is that of the movements that training's directions follow (`training.losses.alignment_loss`).

    Args:
        before: stored frames, uint8 (N, H, W, 3).
        after: those of the next observations.
        box: [left, top, right, bottom] of the part that is played, in pixels of stored frames; None for all.
        of_camera: whether the camera is played.
    """
    frames = torch.from_numpy(np.stack([before, after], axis=1)).movedim(-1, 2).float() / 255
    if box is not None:
        left, top, right, bottom = box
        frames = frames[..., top:bottom, left:right]
    if of_camera:
        return angle_of(camera_movement(frames)[:, 0])
    movement, share = visible_movement(frames)
    height, width = frames.shape[-2:]
    return angle_of((movement * share * torch.tensor([width, height]))[:, 0])


def angle_of(movements: Tensor) -> int:
    """Return the angle along which movements (N, 2) in pixels vary most, once both axes are scaled to vary alike.

    0 is sideways, 90 up and down, as training scales them; what varies along a slanted line is between these.
    """
    x, y = movements.double().T
    squared = x.square().mean(), y.square().mean()
    correlation = (x * y).mean() / (squared[0] * squared[1]).sqrt().clamp_min(torch.finfo(x.dtype).tiny)
    along = (1.0, float(correlation)) if squared[0] >= squared[1] else (float(correlation), 1.0)
    return ROUNDED_TO * round(float(np.degrees(np.arctan2(along[1], along[0]))) / ROUNDED_TO)

"""The way in which the played part moves, in the action space, whose first axes follow x and y."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.camera_motion import camera_movement
from training.losses import visible_movement

ROUNDED_TO = 15
"""Degrees: what is estimated is no more precise."""

ALL_WAYS = 1 / 3
"""Spread of the movement across its main way, as a share of that along it, from which it goes all ways."""


class MovementAxis(NamedTuple):
    """How something moves."""

    angle: int
    """Of its main way, in degrees of the action space: 0 is sideways, 90 up and down, as training scales them."""
    goes_all_ways: bool = False
    """Whether it moves across that way, too."""


SIDEWAYS = MovementAxis(0)


def movement_axis(before: np.ndarray, after: np.ndarray, box: Sequence[int] | None, of_camera: bool) -> MovementAxis:
    """Return how the played part moves from frames to others.

    The movements are those that training's directions follow (`training.losses.alignment_loss`).

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
        return axis_of(camera_movement(frames)[:, 0])
    movement, share = visible_movement(frames)
    height, width = frames.shape[-2:]
    return axis_of((movement * share * torch.tensor([width, height]))[:, 0])


def axis_of(movements: Tensor) -> MovementAxis:
    """Return the way along which movements (N, 2) in pixels vary most, once both axes are scaled to vary alike.

    What varies along a slanted line is between sideways, and up and down.
    """
    x, y = movements.double().T
    tiny = torch.finfo(x.dtype).tiny
    squared = x.square().mean(), y.square().mean()
    product = (x * y).mean()
    correlation = product / (squared[0] * squared[1]).sqrt().clamp_min(tiny)
    along = (1.0, float(correlation)) if squared[0] >= squared[1] else (float(correlation), 1.0)
    angle = ROUNDED_TO * round(float(np.degrees(np.arctan2(along[1], along[0]))) / ROUNDED_TO)
    covariance = torch.stack([torch.stack([squared[0], product]), torch.stack([product, squared[1]])])
    across, main = torch.linalg.eigvalsh(covariance).clamp_min(0).sqrt().tolist()
    return MovementAxis(angle, across > ALL_WAYS * main)

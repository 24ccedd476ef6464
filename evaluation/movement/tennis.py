"""Position of the nearer tennis player, by a person detector (docs/method.md#movement).

Dimensions: B sequences, T frames of each, D = 2 coordinates (x, y), N boxes in a frame, H x W pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

Detector = Callable[[list[Tensor]], list[dict[str, Tensor]]]
"""A torchvision detector: maps frames (3, H, W) in [0, 1] to `boxes` (N, 4) [left, top, right, bottom], COCO `labels`
(N,) and `scores` (N,) in [0, 1] of each."""

PERSON = 1
"""The label of a person among the classes of COCO."""

LEAST_SCORE = 0.8

WIDTH, HEIGHT = 256, 96
"""The frame size in pixels that the limits are for; they are scaled to other sizes."""

CORNER_BOTTOM, LEFT_CORNER_RIGHT, RIGHT_CORNER_LEFT = 26, 60, 200
"""Boxes with a top above the first are ignored if they end left of the second or start right of the third: umpire and
ball boys."""

LOWEST_TOP = 80
"""Boxes with a top below this are ignored: spectators."""

CHUNK_SIZE = 16
"""Number of frames that the detector processes at a time."""


@dataclass(frozen=True)
class TennisTracker:
    """Finds the centre of the tallest person on the court."""

    unit: ClassVar[str] = "pixels"
    rule: ClassVar[str] = "the centre of the tallest person on the court"
    sees_frames: ClassVar[bool] = True

    detector: Detector
    device: torch.device
    """The device of the detector."""

    @torch.inference_mode()
    def positions(self, frames: np.ndarray, _metadata: Sequence[Sequence[dict[str, Any]]], /) -> np.ndarray:
        """Return the positions, as `Tracker.positions`: float64 (B, T, 2), x and y in pixels."""
        scale = np.array([frames.shape[3] / WIDTH, frames.shape[2] / HEIGHT])
        centres = []
        for chunk in torch.from_numpy(frames).flatten(0, 1).split(CHUNK_SIZE):
            images = chunk.to(self.device).movedim(-1, 1).float() / 255
            centres += [_player(detections, scale) for detections in self.detector(list(images))]
        return np.array(centres, np.float64).reshape(*frames.shape[:2], 2)


def _player(detections: dict[str, Tensor], scale: np.ndarray) -> np.ndarray:
    """Return the centre (2,) of the player among the detections in a frame of `scale` (x, y) times the usual size."""
    is_person = (detections["labels"] == PERSON) & (detections["scores"] > LEAST_SCORE)
    boxes = detections["boxes"][is_person].double().cpu().numpy().reshape(-1, 2, 2)  # corners (N, 2) by x and y
    (left, top), (right, _) = (boxes / scale).transpose(1, 2, 0)
    is_in_corner = (top <= CORNER_BOTTOM) & ((right <= LEFT_CORNER_RIGHT) | (left >= RIGHT_CORNER_LEFT))
    players = boxes[~is_in_corner & (top <= LOWEST_TOP)]
    if not len(players):
        return np.full(2, np.nan)
    heights = players[:, 1, 1] - players[:, 0, 1]
    centre: np.ndarray = players[heights.argmax()].mean(axis=0)
    return centre

"""Choosing what finds the controlled thing, by the name that the configuration of an evaluation gives."""

import numpy as np
import torch

from evaluation.breakout.tracking import BreakoutTracker
from evaluation.configuration import MovementName
from evaluation.movement.bair import BairTracker
from evaluation.movement.generic import GenericTracker
from evaluation.movement.tennis import TennisTracker
from evaluation.movement.tracker import Tracker
from evaluation.networks import load_person_detector


def select_tracker(name: MovementName, frames: np.ndarray, device: torch.device) -> Tracker | None:
    """The tracker of a name; None for `none`.

    Args:
        name: as `Evaluation.movement_name` gives it.
        frames: uint8 (N, H, W, 3) from all over the true sequences, some hundred; what stands where is read off them.
        device: where a network computes, if the tracker has one.

    Raises:
        UserError: `breakout`, but the frames do not show its paddle; or `tennis`, and the detector is not to be had.
    """
    match name:
        case "tennis":
            return TennisTracker(load_person_detector().to(device), device)
        case "breakout":
            return BreakoutTracker.of(frames)
        case "bair":
            return BairTracker()
        case "generic":
            return GenericTracker.of(frames)
        case "none":
            return None

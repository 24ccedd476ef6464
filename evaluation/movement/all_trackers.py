"""Selection of the tracker that the configuration of an evaluation names."""

import numpy as np
import torch

from evaluation.breakout.tracking import BreakoutTracker, PublishedBreakoutTracker
from evaluation.configuration import MovementName
from evaluation.movement.bair import BairTracker
from evaluation.movement.generic import GenericTracker
from evaluation.movement.tennis import TennisTracker
from evaluation.movement.tracker import Tracker
from evaluation.networks import load_person_detector


def select_tracker(name: MovementName, frames: np.ndarray, device: torch.device) -> Tracker | None:
    """Return the tracker with a name; None for `none`.

    Args:
        name: the name, see `Evaluation.movement_name`.
        frames: uint8 (N, H, W, 3), a few hundred frames spread over the true sequences, to learn the scene from.
        device: the device of the tracker's network, if it has one.

    Raises:
        UserError: the frames do not show the paddle of `breakout`, or the detector of `tennis` is not available.
    """
    match name:
        case "tennis":
            return TennisTracker(load_person_detector().to(device), device)
        case "breakout":
            return BreakoutTracker.of(frames)
        case "published_breakout":
            return PublishedBreakoutTracker()
        case "bair":
            return BairTracker()
        case "generic":
            return GenericTracker.of(frames)
        case "none":
            return None

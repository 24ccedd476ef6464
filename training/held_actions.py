"""What each action does when it is held from the same true frames (docs/method.md#during-training).

Dimensions: K actions, B sequences, P steps for which an action is held, C channels, H x W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.camera_motion import camera_movement
from utils.configuration import Configuration

CERTAIN = 3.0
"""A direction is told if the mean movement is so many times its standard error, ..."""

CONSIDERABLE = 0.25
"""... and so large a share of the largest mean movement of all actions and axes."""

WORDS = (("left", "right"), ("up", "down"))
"""The directions along x and y."""


@dataclass(frozen=True)
class HeldActions:
    """Measurements of frames that follow each action, held from the same true frames, in CPU memory."""

    movements: np.ndarray
    """float32 (K, B, 2): how far what the actions move, or the camera, moves along x and y, in pixels."""
    effects: np.ndarray
    """float32 (B,): the largest difference of a pixel between the actions, 0 to 2."""
    unmoved_share: np.ndarray
    """float32 (B,): the share of the difference between the actions that appears or vanishes without moving, 0 to 1."""
    outside_share: np.ndarray
    """float32 (B,): the share of that difference that lies outside `data.play_region`; 0 without one."""

    @classmethod
    def of(cls, held: Tensor, true_frames: Tensor, config: Configuration) -> "HeldActions":
        """Measure frames (K, B, P+1, C, H, W) in [-1, 1] after the same true frames, and these first.

        Args:
            held: the frames.
            true_frames: (B, T, C, H, W), the sequences that they branch off from; their median is the background.
            config: the run's configuration: what is played.
        """
        region = config.play_region
        played = (slice(None), slice(None)) if region is None else region.pixels
        foreground = (held - true_frames.median(dim=1, keepdim=True).values).abs()[..., *played]
        difference = held.amax(dim=0) - held.amin(dim=0)
        if config.training.action_directions_motion_source == "camera":
            movement = camera_movement(held.flatten(0, 1)).sum(dim=1).unflatten(0, held.shape[:2])
        else:
            where = difference.amax(dim=1)[..., *played]
            movement = _centroids(foreground[:, :, -1] * where) - _centroids(foreground[:, :, 0] * where)
        epsilon = torch.finfo(held.dtype).eps
        between = foreground[:, :, -1].mean(dim=2).diff(dim=0)
        unmoved = between.sum(dim=(2, 3)).abs().sum(dim=0)
        last = difference[:, -1]
        total = last.sum(dim=(1, 2, 3)).clamp_min(epsilon)
        measured = (
            movement,
            last.flatten(1).amax(dim=1),
            unmoved / between.abs().sum(dim=(0, 2, 3)).clamp_min(epsilon),
            1 - last[..., *played].sum(dim=(1, 2, 3)) / total,
        )
        return cls(*(values.float().cpu().numpy() for values in measured))

    @classmethod
    def joined(cls, parts: "Sequence[HeldActions]") -> "HeldActions":
        """Join the measurements of several batches."""
        return cls(
            np.concatenate([part.movements for part in parts], axis=1),
            np.concatenate([part.effects for part in parts]),
            np.concatenate([part.unmoved_share for part in parts]),
            np.concatenate([part.outside_share for part in parts]),
        )

    def scalars(self) -> dict[str, float]:
        """The figures for the log, each a mean over the sequences."""
        means = self.movements.mean(axis=1)
        return {
            "eval/action_effect": float(self.effects.mean()),
            "eval/action_effect_unmoved": float(self.unmoved_share.mean()),
            "eval/action_effect_outside": float(self.outside_share.mean()),
            "eval/actions_moving": float(self._is_told().any(axis=1).sum()),
        } | {
            f"eval/action_movement_{axis}/{action}": float(mean)
            for action, row in enumerate(means, start=1)
            for axis, mean in zip("xy", row, strict=True)
        }

    def described(self, names: Sequence[str] | None, of_camera: bool) -> str:
        """Return which way each action moves things, in words.

        Args:
            names: what the actions are called, if they have names.
            of_camera: whether the movement is that of the camera.
        """
        told = []
        for action, (row, told_axes) in enumerate(zip(self.movements.mean(axis=1), self._is_told(), strict=True)):
            ways = [words[int(mean > 0)] for words, mean, known in zip(WORDS, row, told_axes, strict=True) if known]
            name = f"{action + 1}{f' ({names[action]})' if names else ''}"
            told.append(f"{name} {' and '.join(ways) or 'in no direction'}")
        moved = "the camera" if of_camera else "things"
        return f"actions that are held move {moved}: {', '.join(told)}"

    def _is_told(self) -> np.ndarray:
        """Whether each action surely moves things along x and y: bool (K, 2)."""
        count = self.movements.shape[1]
        means = self.movements.mean(axis=1)
        errors = self.movements.std(axis=1, ddof=1) / np.sqrt(count) if count > 1 else np.full_like(means, np.inf)
        return (np.abs(means) > CERTAIN * errors) & (np.abs(means) >= CONSIDERABLE * np.abs(means).max())


def _centroids(brightness: Tensor) -> Tensor:
    """The centroids (K, B, 2) along x and y of frames (K, B, C, H, W), in pixels; the middle of an empty frame."""
    grey = brightness.mean(dim=2) + torch.finfo(brightness.dtype).eps
    places = []
    for profile in (grey.sum(dim=-2), grey.sum(dim=-1)):
        positions = torch.arange(profile.shape[-1], device=profile.device, dtype=profile.dtype)
        places.append(profile @ positions / profile.sum(dim=-1))
    return torch.stack(places, dim=-1)

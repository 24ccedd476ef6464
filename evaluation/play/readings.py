"""What is read off each frame of generated and of true sequences.

Dimensions: G sequences, T steps of each, L frames of a stretch, H x W pixels, F features.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from evaluation.metrics.frame_errors import psnr, unit_frames
from evaluation.metrics.structural_similarity import ssim
from evaluation.play.inverse_model import InverseModel
from evaluation.play.scene import Scene
from evaluation.play.true_play import Stretch

GRID = 6
"""Rows and columns of the cells over which the features of a frame are averaged."""

EXTREME = 0.99
"""The quantile taken as the longest movement, so that a few steps in which another object is found do not set it."""

NUM_FEATURES = 2 * GRID**2


@dataclass(frozen=True)
class Readings:
    """Values of G sequences at each of T steps: of the frame that a step leads to, or of the step."""

    actions: np.ndarray
    """int64 (G, T): the actions that were taken, 0 to K - 1."""
    read: np.ndarray
    """int64 (G, T): the actions that the inverse model reads."""
    movements: np.ndarray
    """float64 (G, T, 2): how far the tracked object moves, x and y in pixels; NaN where it is not found."""
    stillness: np.ndarray
    """float64 (G, T): mean absolute difference of still pixels from the sequence's first frame, in 0..255; NaN if no
    pixel is still."""
    sharpness: np.ndarray
    """float64 (G, T): energy of the gradient, see `gradient_energy`."""
    features: np.ndarray
    """float32 (G, T, F), see `appearance`."""
    psnr: np.ndarray
    """float64 (G, T): in decibels, NaN where there is no true frame."""
    ssim: np.ndarray
    """float64 (G, T): the same."""

    @property
    def followed(self) -> np.ndarray:
        """Whether the action that is read is the one that was taken: float64 (G, T)."""
        return (self.read == self.actions).astype(np.float64)

    @property
    def longest_movement(self) -> float:
        """The `EXTREME` quantile of the known movements' lengths, in pixels; 0 if none is known."""
        lengths = np.hypot(self.movements[..., 0], self.movements[..., 1])
        return float(np.nanquantile(lengths, EXTREME)) if np.isfinite(lengths).any() else 0.0

    def without_jumps(self, limit: float) -> "Readings":
        """Return the readings with movements longer than a limit as unknown: another object was found."""
        jumps = np.hypot(self.movements[..., 0], self.movements[..., 1]) > limit
        return replace(self, movements=np.where(jumps[..., np.newaxis], np.nan, self.movements))

    @classmethod
    def joined(cls, parts: Sequence["Readings"], axis: int) -> "Readings":
        """Join readings of other sequences (axis 0), or of later steps (axis 1)."""
        names = (field.name for field in fields(cls))
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts], axis=axis) for name in names})

    @classmethod
    def of(cls, stretches: Iterable[Stretch], scene: Scene, inverse_model: InverseModel) -> "Readings":
        """Read sequences stretch by stretch.

        Args:
            stretches: consecutive stretches of the same sequences.
            scene: the scene of true play.
            inverse_model: reads the actions.
        """
        found: list[Readings] = []
        first: np.ndarray | None = None
        for stretch in stretches:
            if first is None:
                first = stretch.frames[:, 0].copy()
            rows = [_read(stretch, game, first[game], scene, inverse_model) for game in range(len(first))]
            found.append(cls.joined(rows, axis=0))
        return cls.joined(found, axis=1)


def _read(stretch: Stretch, game: int, first: np.ndarray, scene: Scene, inverse_model: InverseModel) -> Readings:
    """Read one sequence of a stretch: readings with G = 1. Sequences are read one by one to bound the memory."""
    frames = stretch.frames[game]
    positions = scene.tracker.positions(frames[np.newaxis], ())[0]
    made = frames[1:]
    quality = _compare(made, None if stretch.truth is None else stretch.truth[game])
    values = {
        "actions": stretch.actions[game],
        "read": inverse_model.read(frames),
        "movements": np.diff(positions, axis=0),
        "stillness": still_difference(made, first, scene.still),
        "sharpness": gradient_energy(made, scene.measured),
        "features": appearance(frames),
        **quality,
    }
    return Readings(**{name: value[np.newaxis] for name, value in values.items()})


def still_difference(frames: np.ndarray, first: np.ndarray, still: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference of the still pixels of frames (N, H, W, 3) from the first frame: (N,).

    Args:
        frames: uint8 (N, H, W, 3).
        first: uint8 (H, W, 3).
        still: bool (H, W); without any, the result is NaN.
    """
    if not still.any():
        return np.full(len(frames), np.nan)
    mean: np.ndarray = np.abs(frames[:, still].astype(np.int16) - first[still]).mean(axis=(1, 2))
    return mean


def gradient_energy(frames: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the mean squared difference of neighbouring grey pixels, right and below: float64 (N,).

    Blurred frames have less of it, noisy ones more.

    Args:
        frames: uint8 (N, H, W, 3).
        where: bool (H, W): the pixels that are averaged over; those of the last row and column never are.
    """
    grey = _grey(frames)
    energy = np.square(grey[:, :-1, 1:] - grey[:, :-1, :-1]) + np.square(grey[:, 1:, :-1] - grey[:, :-1, :-1])
    mean: np.ndarray = energy[:, where[:-1, :-1]].mean(axis=1, dtype=np.float64)
    return mean


def appearance(frames: np.ndarray) -> np.ndarray:
    """Return features of each frame but the first: grey level, and change from the frame before, of `GRID`^2 cells.

    Args:
        frames: uint8 (N, H, W, 3).

    Returns:
        float32 (N-1, `NUM_FEATURES`) in 0..255, averages of cells.
    """
    grey = torch.from_numpy(_grey(frames))
    parts = (grey[1:], grey.diff(dim=0).abs())
    cells = [torch.nn.functional.adaptive_avg_pool2d(part[:, None], GRID).flatten(1) for part in parts]
    features: np.ndarray = torch.cat(cells, dim=1).numpy()
    return features


def _grey(frames: np.ndarray) -> np.ndarray:
    """Return the means of the colours of frames (N, H, W, 3): float32 (N, H, W)."""
    red, green, blue = np.moveaxis(frames, -1, 0)
    grey: np.ndarray = (red.astype(np.float32) + green + blue) / 3
    return grey


def _compare(made: np.ndarray, truth: np.ndarray | None) -> dict[str, np.ndarray]:
    """Compare frames (L, H, W, 3) with the M true ones that there are: values (L,), NaN from frame M on."""
    found = {name: np.full(len(made), np.nan) for name in ("psnr", "ssim")}
    if truth is not None:
        pair = (truth, made[: len(truth)])
        reference, generated = (unit_frames(torch.from_numpy(frames)[np.newaxis]) for frames in pair)
        found["psnr"][: len(truth)] = psnr(reference, generated)[0].numpy()
        found["ssim"][: len(truth)] = ssim(reference, generated)[0].numpy()
    return found

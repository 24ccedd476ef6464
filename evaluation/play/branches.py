"""Short games that branch off at the same true frames: do the actions differ, and are the right ones the better?

Dimensions: G starts, K actions, P steps, H x W pixels.
"""

import itertools
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from tqdm import tqdm

from evaluation.metrics.frame_errors import psnr, unit_frames
from evaluation.play.true_play import TruePlay
from playing.simulator import Simulator, play_games

NUM_STARTS = 64
"""Number of true frames, at most, at which games branch."""

NUM_STEPS = 8
"""Number of steps, at most, for which the branches are played."""

SHOWN_STARTS = 4
"""Number of starts whose frames are kept for the report."""


@dataclass(frozen=True)
class Branches:
    """Comparisons of games with the same first frame."""

    difference: np.ndarray
    """float64 (G, P): mean absolute difference of frames after different actions that are held, in 0..255, over all
    pairs of actions."""
    change: np.ndarray
    """float64 (G, P): mean absolute difference of consecutive true frames, the later one at each step, in 0..255."""
    delta_psnr: np.ndarray
    """float64 (G, P): PSNR of frames after the inferred actions less that after random ones, in decibels."""
    shown: np.ndarray
    """uint8 (K, starts, P+1, H, W, 3): some games in which an action is held; frame 0 is the true start."""


def branch(simulator: Simulator, play: TruePlay, group_size: int, seed: int) -> Branches:
    """Play each action, the inferred actions and random ones from the first frames of true sequences.

    Args:
        simulator: the model.
        play: the true sequences, of P + 1 frames.
        group_size: number of games that are played side by side.
        seed: seed of the random actions.
    """
    random = np.random.default_rng(seed)
    groups = play.groups(group_size)
    parts = [_branch(simulator, group, random) for group in tqdm(groups, desc="branching", unit="batch", disable=None)]
    return Branches(
        difference=np.concatenate([part.difference for part in parts]),
        change=np.concatenate([part.change for part in parts]),
        delta_psnr=np.concatenate([part.delta_psnr for part in parts]),
        shown=np.concatenate([part.shown for part in parts], axis=1)[:, :SHOWN_STARTS],
    )


def _branch(simulator: Simulator, play: TruePlay, random: np.random.Generator) -> Branches:
    stacks = play.stacks()
    num_games, num_steps = play.actions.shape
    games = partial(play_games, simulator, stacks, shows_progress=False)
    held = [games(np.full((num_games, num_steps), action)) for action in range(simulator.actions_count)]
    true = play.frames(0, num_steps + 1)
    right = games(play.actions)
    wrong = games(random.integers(simulator.actions_count, size=(num_games, num_steps)))
    pairs = [_difference(a[:, 1:], b[:, 1:]) for a, b in itertools.combinations(held, 2)]
    return Branches(
        difference=np.mean(pairs, axis=0),
        change=_difference(true[:, 1:], true[:, :-1]),
        delta_psnr=_psnr(true, right) - _psnr(true, wrong),
        shown=np.stack([frames[:SHOWN_STARTS] for frames in held]),
    )


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference of frames (G, P, H, W, 3): (G, P)."""
    mean: np.ndarray = np.abs(a.astype(np.int16) - b).mean(axis=(2, 3, 4))
    return mean


def _psnr(true: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return the PSNR of the frames after the first: (G, P)."""
    pair = (unit_frames(torch.from_numpy(frames[:, 1:])) for frames in (true, made))
    ratio: np.ndarray = psnr(*pair).double().numpy()
    return ratio

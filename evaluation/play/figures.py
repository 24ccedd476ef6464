"""The figures of how well a model plays, of any footage.

Dimensions: G sequences, T steps of each, K actions.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from evaluation.play.branches import Branches
from evaluation.play.distribution import distances_of_windows, true_distance
from evaluation.play.estimates import Estimate, Timeline
from evaluation.play.readings import Readings

WINDOW = 10
"""Number of frames averaged for a point of a timeline, but for those of PSNR and SSIM, which have a point for each."""


@dataclass(frozen=True)
class Title:
    """How a figure is shown."""

    text: str
    better: Literal["lower", "higher", ""] = "higher"
    """Which values are better; empty if neither is."""


TITLES = {
    "following": Title("following"),
    "following_share": Title("... as a share of true play's"),
    "following_random_presses": Title("following, random presses"),
    "explained_movement": Title("movement explained by actions"),
    "distinctness": Title("distinctness"),
    "stillness": Title("stillness: difference, of 255", "lower"),
    "sharpness": Title("sharpness", ""),
    "psnr": Title("PSNR, dB"),
    "ssim": Title("SSIM"),
    "delta_psnr": Title("delta PSNR, dB"),
    "frechet_distance": Title("Fréchet distance", "lower"),
}
"""How each figure is shown, in this order."""


@dataclass(frozen=True)
class Figure:
    """A figure of generated play beside that of true play, and both by frame number."""

    generated: Estimate
    true: Estimate | None
    """None where true play has no such figure."""
    timeline: Timeline | None
    true_timeline: Timeline | None
    """By frame number; that of distinctness and delta PSNR is by the number of steps since the branch."""


@dataclass(frozen=True)
class Movement:
    """The movement of the tracked object while an action is taken, in pixels; positive to the right and down."""

    x: Estimate
    y: Estimate
    spread: tuple[float, float] | None
    """Standard deviations in x and y; None without movements."""


@dataclass(frozen=True)
class ActionFigures:
    """The figures of one action."""

    key: int
    """The action's number, from 1, as on the keyboard."""
    inferred: float
    """Share of the steps of true play in which it is inferred."""
    followed: Estimate
    """Share of its presses that the inverse model reads off generated frames."""
    true_followed: Estimate
    """Share of the true steps with this action in which the inverse model reads it."""
    movement: Movement
    true_movement: Movement


@dataclass(frozen=True)
class PlayFigures:
    """All figures."""

    games: int
    frames: int
    """Number of generated games of each kind, and of the frames of each, without the first."""
    true_sequences: int
    true_frames: int
    """The same of the true sequences that the games are compared with."""
    taught_steps: int
    """Number of true steps from which the inverse model learned."""
    chance: float
    """The expected `following` of a model that ignores its actions."""
    still_share: float
    """Share of the pixels that no true sequence changes."""
    figures: dict[str, Figure]
    """By the names of `TITLES`."""
    actions: list[ActionFigures]
    remarks: list[str]
    """What limits the figures, one line each."""


def figures_of(pressed: Readings, replayed: Readings, true: Readings, branches: Branches) -> dict[str, Figure]:
    """Return the figures by name.

    Args:
        pressed: readings of games with random presses.
        replayed: readings of games with the actions of true play.
        true: readings of true play.
        branches: the games that branch at the same frames.
    """
    lasting = true.actions.shape[1]
    following = _balanced(replayed.actions[:, :lasting], replayed.followed[:, :lasting])
    true_following = _balanced(true.actions, true.followed)
    sharp = float(true.sharpness.mean()) or np.nan
    change = float(branches.change.mean())
    distances = distances_of_windows(replayed.features, true.features)

    def both(values: np.ndarray, true_values: np.ndarray) -> Figure:
        timelines = Timeline.of(values, WINDOW), Timeline.of(true_values, WINDOW)
        return Figure(Estimate.of(values), Estimate.of(true_values), *timelines)

    def generated(values: np.ndarray, window: int = 1) -> Figure:
        return Figure(Estimate.of(values), None, Timeline.of(values, window), None)

    return {
        "following": replace(both(replayed.followed, true.followed), generated=following, true=true_following),
        "following_share": Figure(following.divided_by(true_following.value), None, None, None),
        "following_random_presses": generated(pressed.followed, WINDOW),
        "explained_movement": Figure(_explained_movement(pressed), _explained_movement(true), None, None),
        "distinctness": Figure(
            Estimate.of(branches.difference[:, 0]).divided_by(change),
            None,
            Timeline.of(branches.difference, 1).divided_by(change),
            None,
        ),
        "stillness": both(pressed.stillness, true.stillness),
        "sharpness": both(pressed.sharpness / sharp, true.sharpness / sharp),
        "psnr": generated(replayed.psnr),
        "ssim": generated(replayed.ssim),
        "delta_psnr": generated(branches.delta_psnr),
        "frechet_distance": Figure(
            distances.estimates[-1], true_distance(true.features, len(replayed.features)), distances, None
        ),
    }


def actions_of(pressed: Readings, true: Readings, actions_count: int) -> list[ActionFigures]:
    """Return the figures of each action, of games with random presses and of true play."""
    return [
        ActionFigures(
            key=action + 1,
            inferred=float((true.actions == action).mean()),
            followed=Estimate.of(np.where(pressed.actions == action, pressed.followed, np.nan)),
            true_followed=Estimate.of(np.where(true.actions == action, true.followed, np.nan)),
            movement=_movement(pressed, action),
            true_movement=_movement(true, action),
        )
        for action in range(actions_count)
    ]


def _balanced(actions: np.ndarray, followed: np.ndarray) -> Estimate:
    """Return the share of the steps (G, T) that were followed, weighted so that all actions that occur count alike.

    It is estimated by the weighted errors, so that its interval ends at 1.
    """
    taken, counts = np.unique(actions, return_counts=True)
    weights = actions.size / (len(taken) * counts)
    return Estimate.of((1 - followed) * weights[np.searchsorted(taken, actions)]).subtracted_from(1.0)


def _movement(readings: Readings, action: int) -> Movement:
    """Return the known movements during an action."""
    moved = np.where((readings.actions == action)[..., np.newaxis], readings.movements, np.nan)
    known = moved[np.isfinite(moved).all(axis=-1)]
    spread = tuple(known.std(axis=0).tolist()) if len(known) else None
    return Movement(Estimate.of(moved[..., 0]), Estimate.of(moved[..., 1]), spread)


def _explained_movement(readings: Readings) -> Estimate:
    """Return the share of the movements' variance that the actions explain; unknown if all movements are equal."""
    expected = np.full_like(readings.movements, np.nan)
    is_known = np.isfinite(readings.movements).all(axis=-1)
    for action in np.unique(readings.actions[is_known]):
        chosen = is_known & (readings.actions == action)
        expected[chosen] = readings.movements[chosen].mean(axis=0)
    variance = readings.movements[is_known].var(axis=0).sum() if is_known.any() else 0.0
    unexplained = Estimate.of(np.square(readings.movements - expected).sum(axis=-1)).divided_by(float(variance))
    return unexplained.subtracted_from(1.0)

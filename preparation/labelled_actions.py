"""The actions that labels tell apart: names, numbers, or vectors that are sorted into groups.

Dimensions: N labels, D numbers in each, K actions.
"""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.vq import kmeans, vq

from preparation.survey import DEFAULT_ACTIONS
from utils.action_names import is_action_name
from utils.command import UserError

MAX_COMPARED = 20_000
"""Labels from which the groups are found; all others go to the nearest group."""


@dataclass(frozen=True)
class LabelledActions:
    """Actions, and what they are called."""

    actions_count: int
    action_names: list[str] | None
    """The names of all actions; None if they are numbers, or have no short names."""
    meanings: list[str] | None = None
    """The vector in the middle of each group; None if actions are no groups."""

    @property
    def described(self) -> str:
        """What the actions are, in a few words."""
        told = self.meanings or self.action_names
        if told is None:
            return f"actions 0 to {self.actions_count - 1}"
        what = "groups" if self.meanings else "keys"
        return f"{what} {', '.join(f'{number} {text}' for number, text in enumerate(told, start=1))}"


def sorted_into_groups(
    vectors: np.ndarray, wanted_actions: int | None, where: str
) -> tuple[LabelledActions, np.ndarray]:
    """Sort continuous actions into groups of similar ones, by k-means on axes of equal spread.

    Groups are ordered by the first number of the vector in their middle, then by the next.

    Args:
        vectors: (N, D), finite.
        wanted_actions: number of groups; None for the default number of actions.
        where: what holds the vectors, for errors.

    Returns:
        The groups as actions, and that of each label: int64 (N,), from 0 on.

    Raises:
        UserError: there are fewer different vectors than groups.
    """
    count = wanted_actions or DEFAULT_ACTIONS.value
    spread = vectors.std(axis=0)
    scaled = vectors / np.where(spread > 0, spread, 1)
    sample = scaled[np.linspace(0, len(scaled) - 1, min(len(scaled), MAX_COMPARED)).astype(int)]
    num_different = len(np.unique(sample, axis=0))
    if num_different < count:
        raise UserError(
            f"{where}: {num_different} different action(s) make no {count} groups; give a smaller --actions"
        )
    centres, _ = kmeans(sample, count, rng=0)
    if len(centres) < count:
        raise UserError(f"{where}: the actions make {len(centres)} groups, not {count}; give --actions {len(centres)}")
    centres = centres[np.lexsort(centres.T[::-1])]
    groups, _ = vq(scaled, centres)
    middles = [vectors[groups == group].mean(axis=0) for group in range(count)]
    meanings = [" ".join(f"{value + 0.0:.2g}" for value in middle) for middle in middles]
    are_names = all(map(is_action_name, meanings)) and len(set(meanings)) == count
    return LabelledActions(count, meanings if are_names else None, meanings), groups.astype(np.int64)

"""Spread of the movement within each action, and Delta-MSE (docs/method.md#action-metrics).

Dimensions: N steps, D coordinates of a movement, K actions.
"""

import warnings

import numpy as np
from scipy import stats

from evaluation.results import Results, Value

QUANTILES = np.linspace(0, 1, 11)


def action_variance(movements: np.ndarray, actions: np.ndarray, actions_count: int) -> Results:
    """Return statistics of the movements of each action, and of all movements.

    Args:
        movements: (N, D), finite, in any unit.
        actions: (N,) integers from 0 to K - 1.
        actions_count: K.

    Returns:
        Under `action_variance/`, each with `/<action>` and `/global`, None for an action that does not occur:
        `mean_vector`, `variance_vector` and `kurtosis` (excess; None in it if all movements are equal) with D numbers,
        `quantiles` with D numbers for each of `QUANTILES`, `avg_variance`, the mean over coordinates, and `frequency`
        in [0, 1]. Also `avg_variance/mean` over the actions that occur, and `delta_mse` in [0, 1]: the squared error of
        predicting each movement by its action's mean, as a share of that of predicting it by the mean of all.
    """
    groups = [movements[actions == action] for action in range(actions_count)]
    values: dict[str, Value] = {}
    for where, group in [*enumerate(groups), ("global", movements)]:
        values[f"action_variance/frequency/{where}"] = len(group) / max(1, len(movements))
        values |= {f"action_variance/{name}/{where}": value for name, value in _distribution(group).items()}
    taken = [group for group in groups if len(group)]
    variances = [group.var(axis=0).mean() for group in taken]
    values["action_variance/avg_variance/mean"] = float(np.mean(variances)) if taken else None
    values["action_variance/delta_mse"] = _delta_mse(taken)

    reasons = dict.fromkeys((name for name, value in values.items() if value is None), "there is no known movement")
    if movements.size and values["action_variance/delta_mse"] is None:
        reasons["action_variance/delta_mse"] = "all known movements are equal"
    return Results(values, samples={"action_variance": len(movements)}, reasons=reasons)


def _distribution(movements: np.ndarray) -> dict[str, Value]:
    """Return the statistics of movements (N, D); all None if there are none."""
    if not len(movements):
        return dict.fromkeys(("mean_vector", "kurtosis", "quantiles", "variance_vector", "avg_variance"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # for nearly equal movements, whose kurtosis is NaN
        kurtosis = stats.kurtosis(movements)
    variances = movements.var(axis=0)
    return {
        "mean_vector": movements.mean(axis=0).tolist(),
        "kurtosis": [float(value) if np.isfinite(value) else None for value in kurtosis],
        "quantiles": np.quantile(movements, QUANTILES, axis=0).tolist(),
        "variance_vector": variances.tolist(),
        "avg_variance": float(variances.mean()),
    }


def _delta_mse(groups: list[np.ndarray]) -> float | None:
    """Return the share of the movements' variance that is within groups (N, D), none empty; None without variance."""
    if not groups:
        return None
    movements = np.concatenate(groups)
    if not np.ptp(movements, axis=0).any():
        return None
    unexplained = sum(len(group) * group.var(axis=0).sum() for group in groups)
    return float(unexplained / (len(movements) * movements.var(axis=0).sum()))

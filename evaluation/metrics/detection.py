"""Distance of the controlled object from its true position: ADD and MDR (docs/method.md#action-metrics).

Dimensions: B sequences, T frames of each, D coordinates of a position.
"""

import numpy as np

from evaluation.metrics.bootstrap import bootstrap_interval
from evaluation.results import DISTANCE, Results, Value


def detection_errors(reference: np.ndarray, generated: np.ndarray) -> Results:
    """Return the mean distance of positions, and the missed detections, for each of the T frames and globally.

    Frames in which nothing is found in the reference are not counted.

    Args:
        reference: (B, T, D) positions in true frames, not finite where nothing is found.
        generated: (B, T, D) positions in generated frames, in the same unit.

    Returns:
        Under `detection/`, each with `/<frame>` and `/global`: `center_distance` in the unit of the positions, None if
        no two can be compared, `successful_detections`, `missed_detections`, `reference_detections`, and
        `missed_detection_rate` in [0, 1], None without reference detections. The two global averages have intervals.
    """
    should_be_found = np.isfinite(reference).all(axis=-1)
    is_found = should_be_found & np.isfinite(generated).all(axis=-1)
    distances = np.full(is_found.shape, np.nan)
    distances[is_found] = np.linalg.norm(generated[is_found] - reference[is_found], axis=-1)

    values: dict[str, Value] = {}
    for position in range(reference.shape[1]):
        values |= _errors(distances[:, position], should_be_found[:, position], str(position))
    values |= _errors(distances, should_be_found, "global")
    is_missed = np.where(should_be_found, ~is_found, np.nan)
    averaged = {f"{DISTANCE}/global": distances, "detection/missed_detection_rate/global": is_missed}
    intervals = {name: bootstrap_interval(samples) for name, samples in averaged.items()}
    missing = [name for name, value in values.items() if value is None]
    return Results(
        values,
        samples={"detection": int(should_be_found.sum())},
        intervals={name: list(interval) for name, interval in intervals.items() if interval},
        reasons=dict.fromkeys(missing, "no frame there shows what is tracked"),
    )


def _errors(distances: np.ndarray, should_be_found: np.ndarray, where: str) -> dict[str, Value]:
    """Return the results of some frames.

    Args:
        distances: distances, NaN where the object is not found in both frames.
        should_be_found: whether the reference shows the object; of the same shape.
        where: the end of the results' names.
    """
    found = distances[~np.isnan(distances)]
    expected = int(should_be_found.sum())
    missed = expected - len(found)
    return {
        f"{DISTANCE}/{where}": float(found.mean()) if len(found) else None,
        f"detection/successful_detections/{where}": len(found),
        f"detection/missed_detections/{where}": missed,
        f"detection/reference_detections/{where}": expected,
        f"detection/missed_detection_rate/{where}": missed / expected if expected else None,
    }

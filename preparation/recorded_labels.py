"""Labels that came with the footage: the actions that LeRobot, HDF5 and BAIR's files record with the frames."""

from pathlib import Path
from typing import Any

import numpy as np

from dataset.annotations import Annotations
from dataset.labels import write_labels
from dataset.splits import SPLITS, find_split_videos
from dataset.video import Video
from preparation.labelled_actions import LabelledActions, sorted_into_groups
from utils.command import UserError

RECORDED = "recorded"
"""What `--labels` calls them."""

ACTION = "action"
"""The entry of a frame's metadata that holds its continuous action."""


def store_recorded_labels(data_root: Path, wanted_actions: int | None) -> tuple[LabelledActions, int]:
    """Make the recorded actions of a converted data set its labels; continuous ones are sorted into groups.

    Returns:
        The actions, and the number of frames with a label.

    Raises:
        UserError: nothing is recorded, or actions that differ in kind, or they make fewer groups than wanted.
    """
    videos = [Video(path) for split in SPLITS for path in find_split_videos(data_root, split)]
    known = [video.annotations for video in videos]
    if all(annotations.actions_are_known for annotations in known):
        return _discrete(data_root, known, wanted_actions), sum(map(len, known))
    vectors = [_vectors(annotations) for annotations in known]
    found = [vector for of_video in vectors for vector in of_video.values()]
    if not found:
        raise UserError(f"--labels {RECORDED}: the footage records no actions; give a table of labels, or leave it out")
    if len({len(vector) for vector in found}) > 1:
        raise UserError(f"--labels {RECORDED}: the recorded actions differ in length; give footage of one robot")
    actions, groups = sorted_into_groups(np.array(found), wanted_actions, f"--labels {RECORDED}")
    following = iter(groups.tolist())
    for video, of_video in zip(videos, vectors, strict=True):
        write_labels(video.path, {index: next(following) for index in of_video})
    return actions, len(found)


def _discrete(data_root: Path, known: list[Annotations], wanted_actions: int | None) -> LabelledActions:
    """Return the actions of frames whose actions are numbers; these are labels as they are."""
    actions = {action for annotations in known for action in annotations.actions}
    count = max(wanted_actions or 0, max(actions) + 1, 2)
    if min(actions) < 0 or (wanted_actions is not None and count > wanted_actions):
        raise UserError(
            f"--labels {RECORDED}: {data_root} has actions from {min(actions)} to {max(actions)}; they must be 0 or "
            "more, and fewer than --actions"
        )
    return LabelledActions(count, None)


def _vectors(annotations: Annotations) -> dict[int, list[float]]:
    """Return the continuous action of each frame that has one, by its index."""
    vectors: dict[int, list[float]] = {}
    for index, metadata in enumerate(annotations.metadata):
        action = metadata.get(ACTION)
        vector: list[Any] = action if isinstance(action, list) else [action]
        if vector and all(isinstance(number, int | float) for number in vector):
            vectors[index] = vector
    return vectors

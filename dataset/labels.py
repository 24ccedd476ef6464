"""Labels: the true actions of some frames, where those of the others are unknown.

A label is the entry `label` in the metadata of its frame: the action, from 0 on, chosen there. Where no frame of a data
set has one, the true actions of videos that know all of theirs are its labels.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset.annotations import ANNOTATIONS_FILE, FIELDS, Annotations, annotations_text
from utils.files import replacing

LABEL = "label"
"""The entry in a frame's metadata."""

UNLABELLED = -1


def labels_of(videos: Sequence[Annotations]) -> np.ndarray | None:
    """Return the label of every frame of some videos, `UNLABELLED` without one: int64 (frames); None if all are."""
    labels = np.array([_label(metadata) for video in videos for metadata in video.metadata], np.int64)
    if (labels == UNLABELLED).all():
        known = [video.actions if video.actions_are_known else [UNLABELLED] * len(video) for video in videos]
        labels = np.array([action for actions in known for action in actions], np.int64)
    return None if (labels == UNLABELLED).all() else labels


def _label(metadata: dict[str, Any]) -> int:
    label = metadata.get(LABEL)
    return label if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < 2**63 else UNLABELLED


def write_labels(video: Path, labels: Mapping[int, int]) -> None:
    """Make `labels`, by frame, the labels of a video in our layout; other annotations stay as they are.

    Raises:
        OSError: the file cannot be written.
    """
    file = video / ANNOTATIONS_FILE
    before = file.read_bytes()
    stored = json.loads(before)
    metadata = [
        {name: value for name, value in (entry or {}).items() if name != LABEL}
        | ({LABEL: labels[index]} if index in labels else {})
        for index, entry in enumerate(stored["metadata"])
    ]
    stored["metadata"] = metadata if any(metadata) else [None] * len(metadata)
    text = annotations_text({field: stored[field] for field in FIELDS}).encode("ascii")
    if text != before:
        with replacing(file) as written:
            written.write(text)

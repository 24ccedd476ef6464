"""Conversion of videos to the published code's layout, with pickled annotations (docs/method.md#data-layout)."""

import json
import pickle
from pathlib import Path

from dataset.annotations import ANNOTATIONS_FILE

_PROTOCOL = 4
"""Pickle protocol, readable by Python 3.7."""


def convert_to_authors_layout(video: Path) -> None:
    """Replace a video's `annotations.json` by `actions.pkl`, `rewards.pkl`, `metadata.pkl` and `dones.pkl`.

    They hold the same plain lists: one entry per frame, None where an annotation is unknown. A converted video is left
    unchanged; an interrupted conversion is completed by running it again.

    Args:
        video: folder of a video written by `dataset.video.VideoWriter`.

    Raises:
        OSError: the folder cannot be written.
    """
    file = video / ANNOTATIONS_FILE
    if not file.exists():
        return
    annotations = json.loads(file.read_bytes())
    del annotations["format_version"]
    for field, entries in annotations.items():
        (video / f"{field}.pkl").write_bytes(pickle.dumps(entries, _PROTOCOL))
    file.unlink()

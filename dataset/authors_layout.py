"""Videos as the published code reads them: with pickled annotations (docs/method.md#data-layout)."""

import json
import pickle
from pathlib import Path

from dataset.annotations import ANNOTATIONS_FILE

_PROTOCOL = 4
"""Which Python 3.7 reads too."""


def convert_to_authors_layout(video: Path) -> None:
    """Put `actions.pkl`, `rewards.pkl`, `metadata.pkl` and `dones.pkl` in the place of a video's `annotations.json`.

    They hold the same plain lists: an entry per frame, None where an annotation is unknown. A video that is converted
    already is left alone; if the conversion is interrupted, another one completes it.

    Args:
        video: the folder of a video that a `dataset.video.VideoWriter` wrote.

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

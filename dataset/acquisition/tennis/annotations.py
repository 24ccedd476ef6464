"""Parser of the two tables that define the tennis data set (docs/method.md#data-sets).

    annotations.csv   a clip per row: original_filename, begin_frame, end_frame (frame numbers within the segment of
                      that name, from 0, both included), top, left, bottom, right (the box around one player's half of
                      the court, in pixels of the segment; right and bottom are exclusive)
    splits.csv        the split of a clip per row: sequence (the clip's number), split (train, validation or test)

Other columns are ignored. The tables are untrusted: only the last part of a file name is used.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from dataset.splits import SPLITS
from utils.command import UserError, one_line

CLIPS_FILE = "annotations.csv"
SPLITS_FILE = "splits.csv"

_CLIP_COLUMNS = ("original_filename", "begin_frame", "end_frame", "top", "left", "bottom", "right")
_SPLIT_COLUMNS = ("sequence", "split")
_SPLIT_NAMES = {"train": "train", "validation": "val", "test": "test"}

Row = TypeVar("Row")


@dataclass(frozen=True)
class Clip:
    """A part of a segment in time and space."""

    segment: str
    """File name of the segment."""
    begin_frame: int
    """First frame, from 0."""
    end_frame: int
    """Last frame."""
    box: tuple[int, int, int, int]
    """Left, top, right and bottom in pixels of the segment."""
    number: int = 0
    """Index among all clips."""

    def __post_init__(self) -> None:
        left, top, right, bottom = self.box
        if not 0 <= self.begin_frame <= self.end_frame:
            raise ValueError(f"no clip lasts from frame {self.begin_frame} to {self.end_frame}")
        if not (0 <= left < right and 0 <= top < bottom):
            raise ValueError(f"no box has the left {left}, top {top}, right {right} and bottom {bottom}")

    @property
    def num_frames(self) -> int:
        """Number of frames, at least 1."""
        return self.end_frame - self.begin_frame + 1


def read_clips(file: Path) -> list[Clip]:
    """Return the clips of an `annotations.csv`, numbered in order of segment name and first frame.

    Raises:
        UserError: the file cannot be read, or is no such table.
    """
    clips = sorted(_read_table(file, _CLIP_COLUMNS, _clip), key=lambda clip: (clip.segment, clip.begin_frame))
    return [replace(clip, number=number) for number, clip in enumerate(clips)]


def read_splits(file: Path) -> dict[str, list[int]]:
    """Return the numbers of each split's clips from a `splits.csv`, in the order of the file.

    Raises:
        UserError: the file cannot be read, is no such table, or names a clip twice.
    """
    splits: dict[str, list[int]] = {split: [] for split in SPLITS}
    assigned = set()
    for sequence, split in _read_table(file, _SPLIT_COLUMNS, _assignment):
        if sequence in assigned:
            raise UserError(f"{file}: names sequence {sequence} twice; keep one of the rows")
        assigned.add(sequence)
        splits[split].append(sequence)
    return splits


def _clip(row: dict[str, str]) -> Clip:
    begin_frame, end_frame, top, left, bottom, right = (int(row[column]) for column in _CLIP_COLUMNS[1:])
    return Clip(Path(row["original_filename"]).name, begin_frame, end_frame, (left, top, right, bottom))


def _assignment(row: dict[str, str]) -> tuple[int, str]:
    if row["split"] not in _SPLIT_NAMES:
        raise ValueError(f"'{row['split']}' is none of the splits {', '.join(_SPLIT_NAMES)}")
    return int(row["sequence"]), _SPLIT_NAMES[row["split"]]


def _read_table(file: Path, columns: Sequence[str], parse: Callable[[dict[str, str]], Row]) -> list[Row]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            found = reader.fieldnames or ()
            rows = list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read: {one_line(error)}; put the table there") from error
    missing = [column for column in columns if column not in found]
    if missing or not rows:
        lack = f"column {', '.join(missing)}" if missing else "rows"
        raise UserError(f"{file}: has no {lack}; put the table itself there, not a page that shows it")

    parsed = []
    for line, row in enumerate(rows, start=2):
        try:
            parsed.append(parse(row))
        except (ValueError, TypeError) as error:
            raise UserError(f"{file}: line {line}: {one_line(error)}; correct it") from error
    return parsed

"""Labels of footage: true actions of some of its frames, given as a table, and stored with the converted frames."""

import csv
import re
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from dataset.acquisition.conversion import converted_videos
from dataset.labels import write_labels
from dataset.splits import SPLITS, find_split_videos
from dataset.video import Video
from preparation.footage import Footage
from preparation.labelled_actions import LabelledActions, sorted_into_groups
from utils.action_names import MAX_NAME_LENGTH, is_action_name
from utils.command import UserError, one_line

COLUMNS = ("video", "frame", "action")

MAX_ACTIONS = 256

MAX_FRAME_DIGITS = 12

PART = re.compile(r"(.*) \[(\d+):\d+\]", re.DOTALL)
"""The name of a part of a video, as `preparation.footage.Piece` names it."""


@dataclass(frozen=True)
class Labels:
    """The labels of footage."""

    file: Path
    known: LabelledActions
    actions: dict[tuple[str, int], int]
    """The action, from 0 on, of each (video, frame) of the footage that has a label."""
    lines: dict[tuple[str, int], int]
    """The line of the table where each stands."""

    def require_frames(self, footage: Footage) -> None:
        """Check that the footage has all labelled frames.

        Raises:
            UserError: a video or a frame is missing.
        """
        lengths = {source.name: probe.num_frames for source, probe in zip(footage.sources, footage.probes, strict=True)}
        for (video, frame), line in self.lines.items():
            if video not in lengths:
                raise UserError(
                    f"{self.file}, line {line}: there is no readable video {video}; the first is {next(iter(lengths))}"
                )
            length = lengths[video]
            if length is not None and frame >= length:
                raise UserError(f"{self.file}, line {line}: {video} has no frame {frame}, only 0 to {length - 1}")


def read_labels(file: Path, wanted_actions: int | None) -> Labels:
    """Read a table `video,frame,action` of labels, with frames from 0 on.

    Actions are names, numbers from 0 on, or, if all are numbers or several numbers with spaces between them and some of
    these are not whole, continuous: these are sorted into groups.

    Args:
        file: a CSV file, with the names of its columns in the first line.
        wanted_actions: number of actions that the user wants; None for as many as the labels have.

    Raises:
        UserError: it cannot be read, is no such table, or two labels of a frame contradict each other.
    """
    texts, lines = _read_table(file)
    if not texts:
        raise UserError(f"{file}: holds no labels; give lines such as game.mp4,120,left")
    distinct = list(dict.fromkeys(texts.values()))
    vectors = _vectors(distinct)
    if vectors is None:
        known, numbers = _told_apart(file, texts, lines, wanted_actions)
    else:
        place = dict(zip(distinct, vectors, strict=True))
        known, groups = sorted_into_groups(
            np.array([place[text] for text in texts.values()]), wanted_actions, str(file)
        )
        numbers = dict(zip(texts.values(), groups.tolist(), strict=True))
    return Labels(file, known, {key: numbers[text] for key, text in texts.items()}, lines)


def _read_table(file: Path) -> tuple[dict[tuple[str, int], str], dict[tuple[str, int], int]]:
    """Return the action of each (video, frame) as it is written, and the line where it stands.

    Raises:
        UserError: the table cannot be read, or contradicts itself.
    """
    texts: dict[tuple[str, int], str] = {}
    lines: dict[tuple[str, int], int] = {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as table:
            rows = csv.DictReader(table)
            if missing := [column for column in COLUMNS if column not in (rows.fieldnames or [])]:
                raise UserError(f"{file}: has no column {missing[0]}; its first line must be {','.join(COLUMNS)}")
            for row in rows:
                video, frame, action = ((row[column] or "").strip() for column in COLUMNS)
                place = f"{file}, line {rows.line_num}"
                if not frame.isdecimal() or len(frame) > MAX_FRAME_DIGITS:
                    raise UserError(f"{place}: the frame is {frame!r}; give its number, from 0 on")
                key = (video, int(frame))
                if texts.setdefault(key, action) != action:
                    raise UserError(
                        f"{place}: frame {frame} of {video} is {action}, in line {lines[key]} {texts[key]}; keep one"
                    )
                lines.setdefault(key, rows.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read as a table ({one_line(error)}); give a CSV file in UTF-8") from error
    return texts, lines


def _vectors(texts: list[str]) -> np.ndarray | None:
    """Return continuous actions (N, D); None if they are names or whole numbers from 0 on."""
    if all(text.isdecimal() for text in texts):
        return None
    try:
        vectors = [[float(number) for number in text.split()] for text in texts]
    except ValueError:
        return None
    lengths = {len(vector) for vector in vectors}
    is_usable = len(lengths) == 1 and 0 not in lengths and bool(np.isfinite(vectors).all())
    return np.array(vectors) if is_usable else None


def _told_apart(
    file: Path, texts: dict[tuple[str, int], str], lines: dict[tuple[str, int], int], wanted_actions: int | None
) -> tuple[LabelledActions, dict[str, int]]:
    """Return the actions that names or numbers tell apart, and the number of each, from 0 on.

    Raises:
        UserError: something cannot name an action, or they are too many.
    """
    for key, text in texts.items():
        if not is_action_name(text):
            raise UserError(
                f"{file}, line {lines[key]}: the action is {text!r}; give 1 to {MAX_NAME_LENGTH} printable characters"
            )
    distinct = list(dict.fromkeys(texts.values()))
    are_numbers = all(text.isdecimal() for text in distinct)
    numbers = {text: int(text) if are_numbers else number for number, text in enumerate(distinct)}
    num_found = max(numbers.values()) + 1
    if num_found > MAX_ACTIONS:
        raise UserError(f"{file}: has an action {num_found - 1}; number the actions from 0 on, without gaps")
    actions_count = max(wanted_actions or 0, num_found, 2)
    if wanted_actions is not None and wanted_actions < num_found:
        raise UserError(f"{file}: has {num_found} actions, which are more than --actions {wanted_actions}")
    others = [f"action {number}" for number in range(len(distinct) + 1, actions_count + 1)]
    return LabelledActions(actions_count, None if are_numbers else distinct + others), numbers


def store_labels(labels: Labels, footage: Footage, frame_rate: Fraction | None, data_root: Path) -> tuple[int, int]:
    """Write the labels to the frames of a converted data set that show theirs; all others have none then.

    Returns:
        The number of stored frames with a label, and of those left out because two labels that differ fall on them.
    """
    probes = {source.name: probe for source, probe in zip(footage.sources, footage.probes, strict=True)}
    stored: defaultdict[Path, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for part, videos in converted_videos(data_root).items():
        match = None if part in probes else PART.fullmatch(part)
        name, first = (match[1], int(match[2])) if match else (part, 0)
        if name not in probes:
            continue
        rate = probes[name].frame_rate
        scale = frame_rate / rate if frame_rate and rate else Fraction(1)
        folders = [Video(data_root / video) for video in videos]
        frames = [(folder.path, index) for folder in folders for index in range(folder.num_frames)]
        for (video, frame), action in labels.actions.items():
            index = round((frame - first) * scale)
            if video == name and frame >= first and index < len(frames):
                path, place = frames[index]
                stored[path][place].add(action)
    for split in SPLITS:
        for path in find_split_videos(data_root, split):
            agreed = {index: min(actions) for index, actions in stored[path].items() if len(actions) == 1}
            write_labels(path, agreed)
    counts = [len(actions) for frames in stored.values() for actions in frames.values()]
    return counts.count(1), len(counts) - counts.count(1)

"""What moves in a data set: regions whose movement is independent of each other, and the camera.

Sampled frames are cut into patches. Patches that show parts of one blob of the foreground, when both show some, belong
to one thing; those that show different blobs at the same time, to different ones.

Dimensions: N pairs of frames, H x W pixels, P patches.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from dataset.video import Video
from preparation.survey import VISIBLE_CHANGE
from training.camera_motion import picture_shift
from utils.play_region import CELL

NUM_PAIRS = 600
"""Pairs of frames that are compared, spread evenly over the videos."""

MOST_PATCHES = 24
"""Patches along the longer side of a frame, the smallest parts that regions are made of."""

REACH = 0.02
"""Distance up to which what is seen is one blob, as a share of the frame's longer side."""

MIN_SHARE = 0.1
"""Share of the pairs in which something changes in a region at least."""

MAX_AREA = 0.6
"""Share of the frame above which a region is no part of it."""

MOST_REGIONS = 6
"""Regions up to which each is a thing of its own; more are pieces of what moves all over the frame."""

MAX_GAP = 0.1
"""Distance up to which regions may be one, as a share of the frame's longer side."""

SAME_THING = 0.5
"""Correlation in time of the changing pixels above which regions near each other are one."""

CONTINUED = 1.5
"""Largest area of the box of two things together, as a share of the sum of theirs, if one continues the other."""

MIN_CAMERA_SHIFT = 0.5
"""Pixels by which the picture moves if the camera does."""

FLASH = 0.5
"""Share of the frame above which what changes, or is unusual, is a flash or a cut: all things seem to move at once."""

EXPLAINED = 0.7
"""Largest share of the change that remains after the picture was moved back, if the camera moved."""

MIN_CAMERA_SHARE = 0.2
"""Share of the pairs in which the camera moves, if it is said to move."""

TEXTURE = VISIBLE_CHANGE / 4
"""Standard deviation of the brightness of a block that shows whether it moves."""

NUM_BLOCKS = 4
"""Blocks along each side of a frame, most of which have to move together if the camera moves."""


@dataclass(frozen=True)
class MovingRegion:
    """A part of the frame in which something moves by itself."""

    box: tuple[int, int, int, int]
    """(left, top, right, bottom) in pixels of the stored frame."""
    share: float
    """Share of the compared pairs of frames in which it moves."""
    place: str
    """Where it is, such as `left` or `bottom right`."""
    way: str
    """How it moves: `up and down`, `sideways`, or `all ways`."""

    @property
    def area(self) -> int:
        """Number of its pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


@dataclass(frozen=True)
class Movement:
    """What moves in a data set."""

    regions: list[MovingRegion]
    """Those that move most come first; none are looked for if the camera moves."""
    is_still: bool
    """Whether nothing moves at all."""
    camera_share: float
    """Share of the pairs in which the camera moves."""
    camera_shift: float
    """Median distance in pixels by which it then moves the picture."""

    @property
    def camera_moves(self) -> bool:
        """Whether the camera moves often enough to speak of."""
        return self.camera_share >= MIN_CAMERA_SHARE


def find_movement(before: np.ndarray, after: np.ndarray) -> Movement:
    """Find what moves from frames to others, as `pairs_of_frames` returns them."""
    shifts = _camera_shifts(before, after)
    moved = np.abs(shifts).max(axis=1) >= MIN_CAMERA_SHIFT
    changes = np.stack([_changed(*pair) for pair in zip(before, after, shifts, strict=True)])
    foreground = _foreground(before)
    steady = np.maximum(changes.mean(axis=(1, 2)), foreground.mean(axis=(1, 2))) <= FLASH
    return Movement(
        regions=[] if moved.mean() >= MIN_CAMERA_SHARE else _regions(changes[steady], foreground[steady]),
        is_still=not changes.any() and not moved.any(),
        camera_share=float(moved.mean()),
        camera_shift=float(np.median(np.hypot(*shifts[moved].T))) if moved.any() else 0.0,
    )


def pairs_of_frames(videos: Sequence[Video], stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sampled frames and those `stride` after them: uint8 (N, H, W, 3) each."""
    rows = [(video, first) for video in videos for first in range(video.num_frames - stride)]
    num_pairs = min(len(rows), NUM_PAIRS)
    sample = [rows[index * len(rows) // num_pairs] for index in range(num_pairs)]
    before, after = (
        np.stack([np.asarray(video.frame(first + step)) for video, first in sample]) for step in (0, stride)
    )
    return before, after


def _camera_shifts(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return how far the camera moved the picture along x and y in each pair: (N, 2), 0 where it did not move."""
    grey = [torch.from_numpy(frames.mean(axis=-1, dtype=np.float32)) for frames in (before, after)]
    shifts = picture_shift(*grey).numpy()
    is_camera = [
        np.abs(shift).max() >= MIN_CAMERA_SHIFT and _is_explained(first.numpy(), second.numpy(), shift)
        for first, second, shift in zip(*grey, shifts, strict=True)
    ]
    return np.where(np.array(is_camera)[:, None], shifts, 0)


def _is_explained(before: np.ndarray, after: np.ndarray, shift: np.ndarray) -> bool:
    """Whether moving a grey picture (H, W) makes most blocks, and most of those with a texture, like the next one."""
    is_textured = np.array([block.std() >= TEXTURE for block in _blocks(after)])
    if is_textured.mean() < 1 / 2:
        return False
    unmoved, moved = (
        np.array([np.abs(block).mean() for block in _blocks(after - picture)])
        for picture in (before, _moved(before, shift))
    )
    return bool((moved <= EXPLAINED * unmoved)[is_textured].mean() > 1 / 2)


def _blocks(picture: np.ndarray) -> list[np.ndarray]:
    """Cut a picture (H, W) into blocks of nearly the same size."""
    rows = np.array_split(picture, NUM_BLOCKS, axis=0)
    return [block for row in rows for block in np.array_split(row, NUM_BLOCKS, axis=1)]


def _moved(picture: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Move a picture (H, W) or (H, W, C) by (x, y) pixels; its edges are repeated."""
    offsets = (shift[1], shift[0], *[0] * (picture.ndim - 2))
    return ndimage.shift(picture, offsets, order=1, mode="nearest")


def _changed(before: np.ndarray, after: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return which pixels (H, W) change visibly, the camera's movement aside."""
    if shift.any():
        before = _moved(before.astype(np.float32), shift)
    changed = np.abs(after.astype(np.float32) - before).max(axis=-1) > VISIBLE_CHANGE
    top, left = (max(0, int(np.ceil(shift[axis]))) for axis in (1, 0))
    bottom, right = (max(0, int(np.ceil(-shift[axis]))) for axis in (1, 0))
    height, width = changed.shape
    inside = np.zeros_like(changed)
    inside[top : height - bottom, left : width - right] = True
    return changed & inside


def _foreground(frames: np.ndarray) -> np.ndarray:
    """Return which pixels (N, H, W) of frames (N, H, W, 3) differ visibly from their median."""
    still = np.median(frames, axis=0).astype(np.int16)
    return np.stack([np.abs(frame - still).max(axis=-1) > VISIBLE_CHANGE for frame in frames])


def _regions(changes: np.ndarray, foreground: np.ndarray) -> list[MovingRegion]:
    """Return the regions of changing pixels (N, H, W), those that move most first; none if too many are found.

    Args:
        changes: pixels that change.
        foreground: pixels that differ from the background.
    """
    if not foreground.any():
        return []
    height, width = changes.shape[1:]
    side = -(-max(height, width) // MOST_PATCHES)
    rows, columns = np.arange(height) // side, np.arange(width) // side
    num_columns = int(columns[-1]) + 1
    patch_of = rows[:, None] * num_columns + columns
    things = [np.isin(patch_of, patches) for patches in _things(*_togetherness(foreground, patch_of), num_columns)]
    found = []
    for pixels in _joined(_merged_in_time(things, changes), foreground):
        activity = (changes & pixels).sum(axis=(1, 2))
        share = float((activity > 0).mean())
        if share >= MIN_SHARE:
            region = _described(pixels, changes, share)
            if region.area <= MAX_AREA * height * width:
                found.append((float(activity.mean()), region))
    return [region for _, region in sorted(found, key=lambda pair: -pair[0])] if len(found) <= MOST_REGIONS else []


def _togetherness(foreground: np.ndarray, patch_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count in how many frames two patches show parts of one blob, and of different ones: (P, P) each.

    Args:
        foreground: (N, H, W).
        patch_of: the number of the patch of each pixel, (H, W).
    """
    num_patches = patch_of.max() + 1
    together, apart = (np.zeros((num_patches, num_patches), np.int32) for _ in range(2))
    reach = round(REACH * max(patch_of.shape))
    for seen in foreground:
        blobs, _ = ndimage.label(ndimage.maximum_filter(seen, 2 * reach + 1))
        blob_of = np.zeros(num_patches, np.int32)
        blob_of[patch_of[seen]] = blobs[seen]
        active = np.flatnonzero(blob_of)
        is_same = blob_of[active, None] == blob_of[active]
        together[np.ix_(active, active)] += is_same
        apart[np.ix_(active, active)] += ~is_same
    return together, apart


def _things(together: np.ndarray, apart: np.ndarray, num_columns: int) -> list[list[int]]:
    """Group patches into things, by how surely they are mostly in one blob when both are seen.

    Patches beside each other, which one thing may pass, count as together once more.

    Args:
        together: number of frames (P, P) in which both are parts of one blob.
        apart: number of frames in which they are parts of different ones.
        num_columns: patches in a row of the frame.
    """
    used = np.flatnonzero(together.diagonal())
    groups = [[patch] for patch in used.tolist()]
    places = np.stack(np.divmod(used, num_columns), axis=-1)
    adjacent = np.abs(places[:, None] - places).max(axis=-1) <= 1
    same, other = (counts[np.ix_(used, used)].astype(float) for counts in (together, apart))
    np.fill_diagonal(other, np.inf)
    while len(groups) > 1:
        votes = same + adjacent
        first, second = np.unravel_index(((votes + 1) / (votes + other + 2)).argmax(), votes.shape)
        if votes[first, second] <= other[first, second]:
            break
        groups[first] += groups[second]
        del groups[second]
        for counts in (same, other, adjacent):
            counts[first] += counts[second]
            counts[:, first] += counts[:, second]
        same, other, adjacent = (
            np.delete(np.delete(counts, second, axis=0), second, axis=1) for counts in (same, other, adjacent)
        )
    return groups


def _merged_in_time(things: list[np.ndarray], changes: np.ndarray) -> list[np.ndarray]:
    """Unite things (H, W) near each other whose numbers of changing pixels are correlated in time."""
    counts = np.stack([changes[:, thing].sum(axis=1) for thing in things]).astype(float)
    varies = counts.std(axis=1) > 0
    correlation = np.zeros((len(counts), len(counts)))
    correlation[np.ix_(varies, varies)] = np.corrcoef(counts[varies]) if varies.sum() > 1 else 0
    boxes = [ndimage.find_objects(thing.astype(int))[0] for thing in things]
    gaps = np.array([[_gap(one, other) for other in boxes] for one in boxes])
    _, group_of = connected_components((correlation > SAME_THING) & (gaps <= MAX_GAP * max(changes.shape[1:])))
    return [
        np.any([thing for thing, group in zip(things, group_of, strict=True) if group == number], axis=0)
        for number in np.unique(group_of)
    ]


def _joined(things: list[np.ndarray], foreground: np.ndarray) -> list[np.ndarray]:
    """Unite things (H, W) whose boxes continue each other and that are rarely seen at once: a path that was cut."""
    for one, other in itertools.combinations(range(len(things)), 2):
        pair = [things[one], things[other]]
        both = pair[0] | pair[1]
        together, *parts = (_area(thing) for thing in (both, *pair))
        seen = [_is_seen(foreground[:, thing].sum(axis=1)) for thing in pair]
        at_once = (seen[0] & seen[1]).sum() / max(1, min(seen[0].sum(), seen[1].sum()))
        if together <= CONTINUED * sum(parts) and at_once < 1 / 2:
            rest = [thing for index, thing in enumerate(things) if index not in (one, other)]
            return _joined([*rest, both], foreground)
    return things


def _is_seen(counts: np.ndarray) -> np.ndarray:
    """Whether a thing is seen in each frame, by its pixels there (N,): half as many as usual, not its edge alone."""
    return counts > np.median(counts[counts > 0]) / 2 if counts.any() else counts > 0


def _area(thing: np.ndarray) -> int:
    """The pixels of the box around a thing (H, W)."""
    box = ndimage.find_objects(thing.astype(int))[0]
    return (box[0].stop - box[0].start) * (box[1].stop - box[1].start)


def _gap(one: tuple[slice, slice], other: tuple[slice, slice]) -> int:
    """The pixels between two boxes along the axis on which they are farther apart."""
    return max(max(a.start - b.stop, b.start - a.stop, 0) for a, b in zip(one, other, strict=True))


def _described(pixels: np.ndarray, changes: np.ndarray, share: float) -> MovingRegion:
    """Return a region of pixels (H, W) with its box, which has room for a cell of the state, its place and its way."""
    height, width = pixels.shape
    (rows, columns) = ndimage.find_objects(pixels.astype(int))[0]
    left, right = _widened(columns, width)
    top, bottom = _widened(rows, height)
    vertical = ("top", "", "bottom")[min(2, int(3 * (top + bottom) / 2 / height))]
    horizontal = ("left", "", "right")[min(2, int(3 * (left + right) / 2 / width))]
    return MovingRegion(
        (left, top, right, bottom),
        share,
        " ".join(filter(None, (vertical, horizontal))) or "middle",
        _way(pixels & changes),
    )


def _widened(side: slice, length: int) -> tuple[int, int]:
    """Return the ends of a side of a box with a margin of a pixel, of a cell at least, inside a frame's side."""
    first, end = max(0, side.start - 1), min(length, side.stop + 1)
    missing = max(0, CELL - (end - first))
    first = max(0, min(first - missing // 2, length - CELL))
    return first, max(end, min(length, first + CELL))


def _way(changes: np.ndarray) -> str:
    """How what changes (N, H, W) moves."""
    moving = changes[changes.any(axis=(1, 2))]
    centres = np.array([ndimage.center_of_mass(change) for change in moving])
    vertical, horizontal = centres.std(axis=0)
    if vertical > 3 * horizontal:
        return "up and down"
    return "sideways" if horizontal > 3 * vertical else "all ways"

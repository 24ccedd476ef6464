"""The part of the footage that is played: a region, the whole frame, or the camera."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dataset.video import Video
from preparation.choices import Choice
from preparation.movement_axis import SIDEWAYS, MovementAxis
from preparation.moving_regions import Movement, MovingRegion
from utils.command import UserError
from utils.images import enlarge, save_image, tile
from utils.play_region import CELL

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels."""

Wanted = Box | int | Literal["all", "camera"] | None
"""A box of the footage, the number of a region, the whole frame or the camera; None chooses."""

SHEET_ROWS, SHEET_COLUMNS = 3, 4
SHEET_SIDE = 240
"""Pixels of the longer side of a frame in the picture, at least."""

TAKEN, LEFT = (255, 60, 60), (255, 255, 255)


@dataclass(frozen=True)
class StoredFrame:
    """How frames of the footage become those of the data set."""

    shown: tuple[float, float, float, float]
    """The box of the footage that is stored."""
    size: tuple[int, int]
    """(width, height) of stored frames."""

    @classmethod
    def of(cls, crop: Box, size: tuple[int, int], keeps_aspect: bool) -> "StoredFrame":
        """Describe frames that are cropped to a box and resized to `size`, after margins were cut off or not."""
        left, top, right, bottom = map(float, crop)
        if keeps_aspect:
            width, height = right - left, bottom - top
            scale = min(width / size[0], height / size[1])
            across, down = (width - scale * size[0]) / 2, (height - scale * size[1]) / 2
            left, top, right, bottom = left + across, top + down, right - across, bottom - down
        return cls((left, top, right, bottom), size)

    def stored(self, box: Box) -> Box:
        """Return a box of the footage in pixels of stored frames.

        Raises:
            UserError: it does not lie inside of what is stored, or is too small.
        """
        name = f"--play_region {','.join(map(str, box))}"
        left, top, right, bottom = self.shown
        if not (left - 1 < box[0] < box[2] < right + 1 and top - 1 < box[1] < box[3] < bottom + 1):
            inside = ",".join(map(str, (round(left), round(top), round(right), round(bottom))))
            raise UserError(f"{name}: is no box inside of what is used of the frames, which is {inside}")
        first, end = (np.array([(x - left, y - top)]) * self._scale for x, y in (box[:2], box[2:]))
        (x, y), (right_x, bottom_y) = np.floor(first + 0.01)[0].clip(0), np.ceil(end - 0.01)[0].clip(max=self.size)
        if min(right_x - x, bottom_y - y) < CELL:
            least = np.ceil(CELL / self._scale).astype(int).tolist()
            raise UserError(
                f"{name}: is too small for frames of {self.size[0]}x{self.size[1]} pixels, to which these "
                f"are resized; give at least {least[0]}x{least[1]}"
            )
        return int(x), int(y), int(right_x), int(bottom_y)

    def of_footage(self, box: Box) -> str:
        """Return a box of stored frames in pixels of the footage, as L,T,R,B."""
        corners = np.array(box).reshape(2, 2) / self._scale + self.shown[:2]
        return ",".join(map(str, np.round(corners).astype(int).ravel().tolist()))

    @property
    def _scale(self) -> np.ndarray:
        """Pixels of stored frames per pixel of the footage, along x and y."""
        left, top, right, bottom = self.shown
        return np.array(self.size) / (right - left, bottom - top)


@dataclass(frozen=True)
class PlayedPart:
    """What is played."""

    region: Choice
    """[left, top, right, bottom] in pixels of stored frames, or None."""
    source: Choice
    """`things` or `camera`, whose movement actions follow."""
    axis: MovementAxis = SIDEWAYS
    """How it moves."""


WHOLE_FRAME = PlayedPart(Choice(None, "all of the frame"), Choice("things", "whose movement actions follow"))


def choose_part(wanted: Wanted, movement: Movement, frame: StoredFrame) -> PlayedPart:
    """Choose what is played: as wanted, else the region that moves most if several do, else the whole frame.

    Raises:
        UserError: there is no such region, or it cannot be used.
    """
    regions = movement.regions
    match wanted:
        case "camera":
            return PlayedPart(
                Choice(None, "all of the frame, which shows how the camera moves"),
                Choice("camera", "whose movement actions follow, as asked for with --play"),
            )
        case "all":
            return _part(None, "all of the frame, as asked for with --play_region")
        case int() if not 1 <= wanted <= len(regions):
            raise UserError(
                f"--play_region {wanted}: {len(regions)} region(s) were found that move by themselves; give one of "
                "these numbers, or a box L,T,R,B"
            )
        case int():
            return _part(regions[wanted - 1].box, f"region {wanted}, as asked for with --play_region")
        case tuple():
            return _part(frame.stored(wanted), "as asked for with --play_region, in pixels of stored frames")
    if len(regions) > 1:
        return _part(regions[0].box, f"of {len(regions)} regions that move by themselves the one that moves most")
    if movement.camera_moves:
        return _part(None, "all of the frame, since the camera moves")
    if regions:
        return _part(None, "all of the frame, since only one region moves by itself")
    return _part(None, "all of the frame, since no region clearly moves by itself")


def _part(box: Box | None, why: str) -> PlayedPart:
    return PlayedPart(Choice(None if box is None else list(box), why), WHOLE_FRAME.source)


def describe_movement(movement: Movement, frame: StoredFrame) -> list[str]:
    """Return lines that list what moves, in pixels of the footage."""
    lines = [
        f"{number}  {region.place}, {region.way}, in {region.share:.0%} of the steps: {frame.of_footage(region.box)}"
        for number, region in enumerate(movement.regions, start=1)
    ] or ["no region clearly by itself"]
    if movement.camera_moves:
        lines = [
            f"the camera, in {movement.camera_share:.0%} of the steps, by about {movement.camera_shift:.1f} pixels"
        ]
    return lines


def draw_regions(
    path: Path, videos: Sequence[Video], regions: Sequence[MovingRegion], taken: Sequence[int] | None
) -> None:
    """Write a contact sheet of frames with the numbered regions, and with the box that is taken in red."""
    rows = [(video, index) for video in videos for index in range(video.num_frames)]
    count = SHEET_ROWS * SHEET_COLUMNS
    shown = [rows[index * len(rows) // count] for index in range(count)]
    sheet = np.stack([_with_boxes(video.frame(index), regions, taken) for video, index in shown])
    save_image(path, tile(sheet.reshape(SHEET_ROWS, SHEET_COLUMNS, *sheet.shape[1:])))


def _with_boxes(frame: Image.Image, regions: Sequence[MovingRegion], taken: Sequence[int] | None) -> np.ndarray:
    factor = -(-SHEET_SIDE // max(frame.size))
    picture = Image.fromarray(enlarge(np.asarray(frame), factor))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=14)
    names = [(list(region.box), str(number)) for number, region in enumerate(regions, start=1)]
    if taken is not None and list(taken) not in [box for box, _ in names]:
        names.append((list(taken), ""))
    for box, name in names:
        colour = TAKEN if taken is not None and box == list(taken) else LEFT
        left, top, right, bottom = (side * factor for side in box)
        draw.rectangle((left, top, right - 1, bottom - 1), outline=colour)
        draw.text((left + 3, top + 1), name, font=font, fill=colour)
    return np.asarray(picture)

"""The part that is played: what is taken and why, and boxes of the footage as those of the data set."""

import pytest

from preparation.moving_regions import Movement, MovingRegion
from preparation.played_part import StoredFrame, Wanted, choose_part, describe_movement
from utils.command import UserError

LEFT = MovingRegion((6, 11, 14, 93), 0.95, "left", "up and down")
RIGHT = MovingRegion((67, 11, 77, 93), 0.57, "right", "up and down")
FRAME = StoredFrame.of((0, 0, 160, 210), (80, 96), keeps_aspect=False)


def movement(*regions: MovingRegion, camera_share: float = 0.0) -> Movement:
    return Movement(list(regions), is_still=False, camera_share=camera_share, camera_shift=2.0)


@pytest.mark.parametrize(
    ("found", "wanted", "region", "why"),
    [
        (movement(), None, None, "no region clearly"),
        (movement(LEFT), None, None, "only one region"),
        (movement(LEFT, RIGHT), None, LEFT.box, "of 2 regions"),
        (movement(camera_share=0.9), None, None, "the camera moves"),
        (movement(LEFT, RIGHT), 2, RIGHT.box, "region 2, as asked for"),
        (movement(LEFT, RIGHT), "all", None, "as asked for"),
        (movement(), (132, 26, 160, 210), (66, 11, 80, 96), "as asked for"),
    ],
)
def test_what_is_taken_and_why(found: Movement, wanted: Wanted, region: tuple[int, ...] | None, why: str) -> None:
    part = choose_part(wanted, found, FRAME)
    assert part.region.value == (None if region is None else list(region))
    assert why in part.region.why
    assert part.source.value == "things"


def test_the_camera_is_played_with_the_whole_frame() -> None:
    part = choose_part("camera", movement(LEFT, RIGHT), FRAME)
    assert (part.region.value, part.source.value) == (None, "camera")


@pytest.mark.parametrize("number", [0, 3])
def test_a_region_that_there_is_not(number: int) -> None:
    with pytest.raises(UserError, match=f"--play_region {number}: 2 region"):
        choose_part(number, movement(LEFT, RIGHT), FRAME)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((0, 0, 170, 210), "is no box inside of what is used of the frames, which is 0,0,160,210"),
        ((40, 0, 40, 210), "is no box inside"),
        ((0, 0, 14, 210), "is too small for frames of 80x96 pixels, to which these are resized; give at least 16x18"),
    ],
)
def test_a_box_that_cannot_be_played(box: tuple[int, int, int, int], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        FRAME.stored(box)


def test_boxes_go_to_the_data_set_and_back() -> None:
    frame = StoredFrame.of((20, 10, 180, 130), (96, 96), keeps_aspect=True)  # 120x120 in the middle are kept
    assert frame.shown == (40, 10, 160, 130)
    assert frame.stored((50, 20, 110, 130)) == (8, 8, 56, 96)
    assert frame.of_footage((8, 8, 56, 96)) == "50,20,110,130"


def test_what_moves_is_listed_in_pixels_of_the_footage() -> None:
    assert describe_movement(movement(LEFT, RIGHT), FRAME) == [
        "1  left, up and down, in 95% of the steps: 12,24,28,203",
        "2  right, up and down, in 57% of the steps: 134,24,154,203",
    ]
    assert describe_movement(movement(camera_share=0.8), FRAME) == [
        "the camera, in 80% of the steps, by about 2.0 pixels"
    ]
    assert describe_movement(movement(), FRAME) == ["no region clearly by itself"]

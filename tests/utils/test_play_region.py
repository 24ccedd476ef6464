import numpy as np
import pytest

from utils.play_region import PlayRegion


def test_a_box_is_cropped_and_resized_as_the_frame_is() -> None:
    region = PlayRegion.scaled([40, 30, 100, 90], crop=[20, 10, 180, 210], size=[80, 100])
    assert region == PlayRegion(10, 10, 40, 40)


def test_a_cell_counts_as_much_as_lies_in_the_box() -> None:
    shares = PlayRegion(8, 4, 26, 16).cell_shares(3, 4)
    assert shares.tolist() == [[0, 0.5, 0.5, 0.125], [0, 1, 1, 0.25], [0, 0, 0, 0]]
    assert shares.dtype == np.float32


def test_the_whole_frame_has_all_of_each_cell() -> None:
    assert PlayRegion(0, 0, 32, 24).cell_shares(3, 4).min() == 1


def test_pixels_that_are_touched_are_read() -> None:
    assert PlayRegion(8, 4.2, 26.5, 16).pixels == (slice(4, 16), slice(8, 27))


@pytest.mark.parametrize(("right", "is_small"), [(15.9, True), (16, False)])
def test_a_side_of_a_cell_is_the_least(right: float, is_small: bool) -> None:
    assert PlayRegion(8, 0, right, 32).is_smaller_than_a_cell == is_small

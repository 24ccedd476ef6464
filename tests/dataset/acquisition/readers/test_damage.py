from fractions import Fraction

import pytest

from dataset.acquisition.readers.damage import Runs, intact_runs
from utils.ffmpeg import Packet

TENTH = Fraction(1, 10)


def packets(text: str) -> list[Packet]:
    """Packets in the order of decoding, from their times; those of keyframes end with k."""
    parts = text.split()
    return [
        Packet(order, int(part.removesuffix("k")), 1, is_key=part.endswith("k")) for order, part in enumerate(parts)
    ]


@pytest.mark.parametrize(
    ("stored", "decoded", "runs"),
    [
        ("0k 1 2 3 4k 5 6 7", "0 1 2 3 4 5 6 7", [[0, 1, 2, 3, 4, 5, 6]]),
        ("0k 1 2 3 4k 5 6 7", "0 2 3 4 5 6 7", [[4, 5, 6]]),
        ("0k 1 2 3 4k 5 6 7", "0 1 3 4 5 6 7", [[0], [4, 5, 6]]),
        ("0k 1k 2k 3k 4k 5k", "0 1 3 4 5", [[0], [3, 4]]),
        ("0k 1 2 3 4k 5 6", "0 1 2 3 5 6", [[0, 1, 2]]),
        ("1 2 3k 4 5 6", "1 2 3 4 5 6", [[3, 4, 5]]),
        ("0k 3 1 2 6k 4 5 9 7 8", "0 1 2 3 4 6 7 8 9", [[0, 1, 2, 3], [6, 7, 8]]),
        ("0k 3 1 2 6k 4 5 9 7 8", "0 1 2 4 5 6 7 8 9", [[6, 7, 8]]),
        ("0k 1 2 7 8 9k 10 11", "0 1 2 7 8 9 10 11", [[0, 1], [9, 10]]),
        ("0k 1 2 9k 10 11", "0 1 2 9 10 11", [[0, 1], [9, 10]]),
    ],
)
def test_what_may_be_made_of_missing_frames_is_damaged(stored: str, decoded: str, runs: list[list[int]]) -> None:
    found = intact_runs(packets(stored), packets(decoded), TENTH)
    assert found
    assert found.times == runs


def test_other_times_tell_nothing() -> None:
    assert intact_runs(packets("0k 1 2 3"), packets("10 11 12 3"), TENTH) is None


def test_open_groups_after_what_is_missing_begin_with_their_keyframe() -> None:
    found = intact_runs(packets("1 2 6k 4 5 9 7 8 12k 10 11 13"), packets("4 5 6 7 8 9 10 11 12 13"), TENTH)
    assert found
    assert found.times == [[6, 7, 8, 9, 10, 11, 12]]


def test_parts() -> None:
    runs = Runs([[0, 1, 2], [5, 6], [9]], [0, 1, 2, 3, 5, 6, 9], usual=1, time_base=TENTH)
    assert runs.within(0.1, 0.6).times == [[1, 2], [5]]
    assert runs.within(0.3, 0.5).times == []
    assert runs.selection == "select='between(t,-0.05,0.25)+between(t,0.45,0.65)+between(t,0.85,0.95)'"
    assert runs.numbers == {0: 0, 1: 0, 2: 0, 3: 1, 4: 1, 5: 2}


def test_what_follows_frames_that_were_given() -> None:
    runs = Runs([[0, 1, 2], [5, 6], [9]], [0, 1, 2, 3, 5, 6, 9], usual=1, time_base=TENTH)
    found = [runs.after(number, None) for number in (0, 2, 3, 5)]
    assert [(rest.times, is_continued) for rest, is_continued in found] == [
        (runs.times, False),
        ([[2], [5, 6], [9]], True),
        ([[5, 6], [9]], False),
        ([[6], [9]], True),
    ]
    rest, is_continued = runs.after(1, 5)
    assert (rest.times, is_continued) == ([[2], [5, 6], [9]], True)


def test_frames_at_another_rate_belong_to_the_runs_that_they_show() -> None:
    runs = Runs([[0, 1, 2], [6, 7]], [0, 1, 2, 6, 7], usual=1, time_base=TENTH)
    assert runs.ticks(10) == {0: 0, 1: 0, 2: 0, 6: 1, 7: 1}
    assert runs.ticks(20) == {**dict.fromkeys(range(6), 0), **dict.fromkeys(range(12, 16), 1)}
    assert runs.ticks(5) == {0: 0, 1: 0, 3: 1}

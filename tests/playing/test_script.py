import pytest

from playing.script import parse_script
from utils.command import UserError


def test_keys() -> None:
    assert parse_script("1,1,2,3x3, 0 ,12", 12) == [1, 1, 2, 3, 3, 3, 0, 12]


@pytest.mark.parametrize("text", ["", "4", "1,,2", "a", "-1", "2x", "x2", "1;2", "1.5", "1x-1"])
def test_other_things_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"--actions: .* write actions from 1 to 3"):
        parse_script(text, 3)

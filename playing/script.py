"""Scripts of actions, such as `1,1,2,3x10,0`: keys to press one after the other, without a screen."""

import re

from utils.command import UserError

NEW_START = 0
"""The key that resets to a new starting frame."""


def parse_script(text: str, actions_count: int) -> list[int]:
    """Return the keys of a script: actions from 1 to K, and 0 for a new start; `3x10` means ten times 3.

    Raises:
        UserError: the script contains something else, or an action that the model does not have.
    """
    keys: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:x(\d+))?\s*", part)
        if match is None or not 0 <= int(match[1]) <= actions_count:
            raise UserError(
                f"--actions: '{part.strip()}' is no key; write actions from 1 to {actions_count}, 0 for a new start, "
                "repeated with x, separated by commas: 1,1,2x10,0"
            )
        keys += [int(match[1])] * int(match[2] or 1)
    return keys

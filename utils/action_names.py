"""What can name an action."""

from collections.abc import Sequence
from typing import Any

MAX_NAME_LENGTH = 32


def is_action_name(value: Any) -> bool:
    """Whether a value can name an action: a text of 1 to `MAX_NAME_LENGTH` printable characters, not all spaces."""
    return isinstance(value, str) and len(value) <= MAX_NAME_LENGTH and value.isprintable() and bool(value.strip())


def require_names_of_all(names: Sequence[str] | None, actions_count: int) -> None:
    """Check the names in a configuration, if there are some.

    Raises:
        ValueError: they are not as many as the actions, or one cannot name an action.
    """
    if names is not None and not (len(names) == actions_count and all(map(is_action_name, names))):
        raise ValueError(
            f"action_names must be {actions_count} names, as many as actions_count, of 1 to {MAX_NAME_LENGTH} "
            f"printable characters, not {names}"
        )

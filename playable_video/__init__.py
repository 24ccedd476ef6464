"""Learn discrete actions and a playable video model from unlabelled videos, and play it.

from playable_video import load

world = load("00_breakout_play")
world.start()
frame = world.step(0)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playing.world import World, from_pretrained, load

__all__ = ["World", "from_pretrained", "load"]


def __getattr__(name: str) -> Any:
    """Import what the package offers when it is first used, since that takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from playing import world

    return getattr(world, name)

"""The trials: footage, how `prepare` is told to take it, and what play is expected to reach."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.footage.sources import Source, atari, debian_package, python_package, robot

STEERED = {"following_share": 0.8, "distinctness": 0.5}
"""Targets of footage in which somebody steers: keys show as in true play, and differ."""

PONG = {"following_share": 0.9, "distinctness": 0.5}

FILMED = {"distinctness": 0.3, "sharpness": 0.7}
"""Targets of footage in which nobody steers: keys differ, and nothing dissolves."""

SIDEWAYS = {"stay": "NOOP", "left": "LEFT", "right": "RIGHT"}


@dataclass(frozen=True)
class Trial:
    """One trial."""

    footage: str
    """A key of `FOOTAGE`."""
    options: tuple[str, ...] = ()
    """Those of `prepare`, as a user types them."""
    takes_labels: bool = False
    """Whether `prepare` gets the table of labels."""
    targets: Mapping[str, float] = field(default_factory=lambda: STEERED)
    """The least value of each figure of `evaluation.playability` that counts."""


FOOTAGE: dict[str, Source] = {
    "pong": atari("pong", {"stay": "NOOP", "up": "RIGHT", "down": "LEFT"}),
    "asteroids": atari("asteroids", SIDEWAYS | {"ahead": "UP"}),
    "pitfall": atari("pitfall", SIDEWAYS | {"jump": "UP"}),
    "enduro": atari("enduro", {"drive": "FIRE", "left": "LEFTFIRE", "right": "RIGHTFIRE"}),
    "robot": robot,
    "vtest": debian_package("vtest.avi"),
    "bikes": python_package("bikes.mp4"),
    "carphone": python_package("carphone_pristine.mp4"),
}
"""Footage by name; several trials may take the same."""

TRIALS: dict[str, Trial] = {
    "pong": Trial("pong", ("--actions", "3", "--play_region", "134,24,154,203"), targets=PONG),
    "pong_unaimed": Trial("pong", ("--actions", "3")),
    "pong_labels": Trial(
        "pong", ("--actions", "3", "--play_region", "134,24,154,203"), takes_labels=True, targets=PONG
    ),
    "asteroids": Trial("asteroids", ("--actions", "4")),
    "pitfall": Trial("pitfall", ("--actions", "4")),
    "enduro": Trial("enduro", ("--actions", "3")),
    "robot": Trial("robot", ("--actions", "7")),
    "robot_labels": Trial("robot", ("--actions", "7"), takes_labels=True),
    "vtest": Trial("vtest", targets=FILMED),
    "bikes": Trial("bikes", targets=FILMED),
    "carphone": Trial("carphone", targets=FILMED),
}
"""Trials by name."""

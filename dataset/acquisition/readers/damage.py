"""Which frames of a damaged video are intact.

A frame is damaged if it is not decoded, or follows one that is not, or a gap in the file, before the next keyframe: it
may be made of what is missing. What is stored before a frame that is not decoded, or shown before a gap, may be damaged
too. Times are counted in the stream's time base.
"""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from utils.ffmpeg import Packet

_LONG = 1.75
"""Times the usual interval, from which on an interval between two frames is a gap."""

_LEAST_KNOWN = 0.5
"""Least share of the decoded frames whose times are those of packets; else nothing is known of the others."""


@dataclass(frozen=True)
class Runs:
    """The intact frames of a video in runs, between which others are missing."""

    times: list[list[int]]
    """The times of each run's frames, in order."""
    shown: list[int]
    """The times of all decoded frames, intact or not, in order."""
    usual: int
    """The usual interval between two frames."""
    time_base: Fraction
    """Seconds of a unit of time."""

    def within(self, first: float, end: float) -> "Runs":
        """Return the part of the runs from one moment on and before another, in seconds."""
        low, high = first / float(self.time_base), end / float(self.time_base)
        shown = [time for time in self.shown if low <= time < high]
        return self._with([[time for time in run if low <= time < high] for run in self.times], shown)

    def after(self, num_frames: int, frame_rate: float | None) -> tuple["Runs", bool]:
        """Return what follows a number of frames, and whether its first run goes on from them.

        Args:
            num_frames: number of frames from the first decoded one on.
            frame_rate: frames a second at which they were counted; None if each decoded one was.
        """
        if not num_frames or not self.shown:
            return self, False
        last = float(self.shown[min(num_frames, len(self.shown)) - 1])
        if frame_rate:
            last = self.shown[0] + (num_frames - 0.5) / frame_rate / float(self.time_base)
        is_continued = any(run[0] <= last < run[-1] for run in self.times)
        return self._with([[time for time in run if time > last] for run in self.times], self.shown), is_continued

    def _with(self, times: list[list[int]], shown: list[int]) -> "Runs":
        return Runs([run for run in times if run], shown, self.usual, self.time_base)

    @property
    def num_frames(self) -> int:
        """Number of intact frames."""
        return sum(map(len, self.times))

    @property
    def numbers(self) -> dict[int, int]:
        """The run of each frame, which are counted from 0."""
        return dict(enumerate(number for number, run in enumerate(self.times) for _ in run))

    @property
    def selection(self) -> str:
        """Ffmpeg's filter that lets only these frames pass."""
        margin = Fraction(self.usual, 2)
        bounds = [(run[0] - margin, run[-1] + margin) for run in self.times]
        conditions = [f"between(t,{float(a * self.time_base)},{float(b * self.time_base)})" for a, b in bounds]
        return f"select='{'+'.join(conditions)}'"

    def ticks(self, frame_rate: float) -> dict[int, int]:
        """Return the run that each frame belongs to after ffmpeg's filter `fps`; those between runs are left out.

        Frames are counted from 0 for the first frame of the first run.
        """
        origin, unit = self.times[0][0], self.time_base * Fraction(frame_rate)
        runs: dict[int, int] = {}
        for number, run in enumerate(self.times):
            begin, end = (_rounded((time - origin) * unit) for time in (run[0], run[-1] + self.usual))
            runs.update(dict.fromkeys(range(begin, max(begin + 1, end)), number))
        return runs


def intact_runs(packets: Sequence[Packet], decoded: Sequence[Packet], time_base: Fraction) -> Runs | None:
    """Return the intact frames; None if they are not known.

    Args:
        packets: what the file holds, in the order in which it is decoded.
        decoded: the frames that were decoded.
        time_base: seconds of a unit of time.
    """
    known = {packet.time for packet in packets}
    shown = {frame.time for frame in decoded} & known
    if len(known) < 2 or len(shown) < _LEAST_KNOWN * len(decoded):
        return None
    intervals = {later: later - time for time, later in itertools.pairwise(sorted(known))}
    usual = round(statistics.median(intervals.values()))
    after_gap = {time for time, interval in intervals.items() if interval > _LONG * usual}
    damaged = _damaged(packets, shown, after_gap) | {time - intervals[time] for time in after_gap}
    runs: list[list[int]] = [[]]
    for time in sorted(known):
        if time in damaged or time in after_gap:
            runs.append([])
        if time not in damaged:
            runs[-1].append(time)
    if runs[-1] and runs[-1][-1] == max(known):
        runs[-1].pop()  # errors in the last frame may have been concealed
    return Runs([run for run in runs if run], sorted(shown), usual, time_base)


def _damaged(packets: Sequence[Packet], shown: set[int], after_gap: set[int]) -> set[int]:
    """Return the times of the damaged frames."""
    damaged: set[int] = set()
    key_time = None
    is_spoilt = was_spoilt = True
    for packet, following in itertools.pairwise([*packets, packets[-1]]):
        is_lost = packet.time not in shown or following.time not in shown
        if packet.is_key:
            key_time, is_spoilt, was_spoilt = packet.time, is_lost, is_spoilt
        is_leading = key_time is not None and packet.time < key_time  # made of what is before too, but spoils nothing
        if not packet.is_key and not is_leading:
            is_spoilt = is_spoilt or is_lost or packet.time in after_gap
        if is_spoilt or is_lost or (is_leading and was_spoilt):
            damaged.add(packet.time)
    return damaged


def _rounded(value: Fraction) -> int:
    """Round as ffmpeg does: half away from zero."""
    return int(value + Fraction(1, 2))

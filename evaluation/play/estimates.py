"""Means with their intervals, of whole sequences and window by window.

Dimensions: G sequences, T frames of each.
"""

from dataclasses import dataclass

import numpy as np

from evaluation.metrics.bootstrap import bootstrap_interval


@dataclass(frozen=True)
class Estimate:
    """A measured value with its 95% interval over sequences."""

    value: float | None
    """None without samples."""
    interval: tuple[float, float] | None
    """Low and high; None for fewer than two sequences."""
    samples: int

    @classmethod
    def of(cls, values: np.ndarray) -> "Estimate":
        """Average the values (G, ...) that are not NaN; sequences are resampled for the interval."""
        known = int((~np.isnan(values)).sum())
        if not known:
            return cls(None, None, 0)
        return cls(float(np.nanmean(values)), bootstrap_interval(values.reshape(len(values), -1)), known)

    def divided_by(self, divisor: float | None) -> "Estimate":
        """Return the estimate as a multiple of a number that is taken as exact; unknown if that is unknown or 0."""
        if self.value is None or not divisor:
            return Estimate(None, None, 0)
        interval = self.interval and (self.interval[0] / divisor, self.interval[1] / divisor)
        return Estimate(self.value / divisor, interval, self.samples)

    def subtracted_from(self, number: float) -> "Estimate":
        """Return a number less the estimate."""
        if self.value is None:
            return self
        interval = self.interval and (number - self.interval[1], number - self.interval[0])
        return Estimate(number - self.value, interval, self.samples)


@dataclass(frozen=True)
class Timeline:
    """Estimates by frame number, window by window; the last window may be shorter."""

    first_frame: list[int]
    """The number of each window's first frame. Frame 0 is the sequence's first, which is true."""
    estimates: list[Estimate]

    @classmethod
    def of(cls, values: np.ndarray, window: int) -> "Timeline":
        """Average values (G, T) of the frames 1 to T, NaN where unknown; windows without values are left out."""
        found = {
            first + 1: Estimate.of(values[:, first : first + window]) for first in range(0, values.shape[1], window)
        }
        return cls.of_estimates({first: estimate for first, estimate in found.items() if estimate.samples})

    @classmethod
    def of_estimates(cls, estimates: dict[int, Estimate]) -> "Timeline":
        """Make a timeline of estimates by the first frame of their window."""
        return cls(list(estimates), list(estimates.values()))

    def divided_by(self, divisor: float | None) -> "Timeline":
        """Return the timeline as a multiple of a number."""
        return Timeline(self.first_frame, [estimate.divided_by(divisor) for estimate in self.estimates])

    def at(self, frame: int) -> Estimate | None:
        """Return the estimate of the window that begins last before a frame, or with it; None if none does."""
        earlier = [index for index, first in enumerate(self.first_frame) if first <= frame]
        return self.estimates[earlier[-1]] if earlier else None

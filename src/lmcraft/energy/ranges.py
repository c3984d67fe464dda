"""Quantities that are known within a range: products of independent ones, and sums of dependent ones."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """A positive quantity: its best estimate, between the ends of an interval that holds it in 19 of 20 cases."""

    low: float
    best: float
    high: float

    def __mul__(self, other: "Range | float") -> "Range":
        """Of independent factors, whose relative errors add as squares; an exact factor scales."""
        if isinstance(other, (int, float)):
            return Range(self.low * other, self.best * other, self.high * other)
        best = self.best * other.best
        if best == 0.0:
            return Range(self.low * other.low, 0.0, self.high * other.high)
        low = best * math.exp(-math.hypot(_log_ratio(self.best, self.low), _log_ratio(other.best, other.low)))
        high = best * math.exp(math.hypot(_log_ratio(self.high, self.best), _log_ratio(other.high, other.best)))
        return Range(low, best, high)

    def __add__(self, other: "Range") -> "Range":
        """Of quantities whose errors may go together."""
        return Range(self.low + other.low, self.best + other.best, self.high + other.high)

    def minus_one(self) -> "Range":
        """What a factor adds to what it multiplies."""
        return Range(self.low - 1, self.best - 1, self.high - 1)

    def at_most(self, limit: float) -> "Range":
        """Cut at a limit that the quantity cannot exceed."""
        return Range(min(self.low, limit), min(self.best, limit), min(self.high, limit))


def _log_ratio(larger: float, smaller: float) -> float:
    return math.log(larger / smaller) if smaller > 0 else math.inf


def exactly(value: float) -> Range:
    """A quantity without error."""
    return Range(value, value, value)


def about(value: float, error: float) -> Range:
    """A quantity with a relative error, as 0.05."""
    return Range(value * (1 - error), value, value * (1 + error))


NOTHING = exactly(0.0)

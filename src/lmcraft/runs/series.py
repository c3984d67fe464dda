"""A column in at most so many points: exact where it is short enough, else lowest, highest and mean of each bucket."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Steps = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """Points of one quantity by step; all arrays have the shape (points,)."""

    steps: Steps
    """Ascending; of a bucket, the step of its last row."""
    low: Values
    """Of a figure with an interval, the interval's lower end; else the lowest value of the bucket."""
    high: Values
    mean: Values

    def between(self, first: int | None, last: int | None) -> "Series":
        """The points from one step to another, both included; None: no bound."""
        start = 0 if first is None else int(np.searchsorted(self.steps, first, "left"))
        end = len(self.steps) if last is None else int(np.searchsorted(self.steps, last, "right"))
        return Series(self.steps[start:end], self.low[start:end], self.high[start:end], self.mean[start:end])

    def downsampled(self, points: int) -> "Series":
        """The series in at most `points` buckets of as many steps each, or as it is if it has no more points."""
        if len(self.steps) <= points:
            return self
        first, last = int(self.steps[0]), int(self.steps[-1])
        width = -(-(last - first + 1) // points)
        buckets = (self.steps - first) // width
        starts = np.flatnonzero(np.diff(buckets, prepend=-1))
        ends = np.append(starts[1:], len(buckets))
        return Series(
            self.steps[ends - 1],
            np.minimum.reduceat(self.low, starts),
            np.maximum.reduceat(self.high, starts),
            np.add.reduceat(self.mean, starts) / (ends - starts),
        )

    def as_json(self) -> dict[str, list[Any]]:
        """The arrays as lists."""
        return {name: getattr(self, name).tolist() for name in ("steps", "low", "high", "mean")}

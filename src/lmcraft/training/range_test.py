"""The learning-rate range test: the loss while the learning rates rise at every step (arXiv 1506.01186, section 3.3)."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lmcraft.errors import RunError
from lmcraft.training.display import Display
from lmcraft.training.loop import Trainer

STEPS = 100
MIN_FACTOR, MAX_FACTOR = 1e-3, 1e2  # of the run's base rates
SMOOTHING = 0.8  # decay of the running mean of the loss
MAX_LOSS_RATIO = 1.3  # to the lowest loss; above it the loss has diverged, and the test ends
MIN_POINTS = 10


@dataclass(frozen=True)
class RangeTest:
    """The curve of a learning-rate range test."""

    points: Sequence[tuple[float, float]]
    """Factor of the base rates, and smoothed loss."""

    @property
    def steepest(self) -> float:
        """The factor at which the loss falls fastest."""
        falls = [(b[1] - a[1], math.sqrt(a[0] * b[0])) for a, b in pairwise(self.points)]
        return min(falls)[1]

    @property
    def lowest(self) -> float:
        """The factor above which the loss rises."""
        return min(self.points, key=lambda point: point[1])[0]


def range_test(trainer: Trainer) -> RangeTest:
    """Train with exponentially rising learning rates until the loss diverges; the trainer must not be used afterwards.

    Raises:
        RunError: the loss diverges within a few steps.
    """
    points: list[tuple[float, float]] = []
    weighted = weight = 0.0
    begin = time.perf_counter()
    with Display(max_steps=STEPS, step=0) as display:
        for step in range(STEPS):
            factor = MIN_FACTOR * (MAX_FACTOR / MIN_FACTOR) ** (step / (STEPS - 1))
            loss = trainer.gradients(step).loss
            weighted = SMOOTHING * weighted + (1 - SMOOTHING) * loss
            weight = SMOOTHING * weight + 1 - SMOOTHING
            smooth = weighted / weight
            if not math.isfinite(smooth) or (points and smooth > MAX_LOSS_RATIO * min(loss for _, loss in points)):
                break
            points.append((factor, smooth))
            trainer.optimizer.step(factor)
            seconds = (time.perf_counter() - begin) / (step + 1)
            status = f"loss {smooth:.3f} at {factor:.3g} times the rates"
            display.update(step + 1, status, seconds_left=(STEPS - step - 1) * seconds)
    if len(points) < MIN_POINTS:
        raise RunError("the loss diverges at a thousandth of the learning rates: lower optimizer.learning_rate")
    return RangeTest(points)

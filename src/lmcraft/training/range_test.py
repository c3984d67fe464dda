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
MAX_LOSS_RATIO = 1.3  # over the lowest loss: the test ends where the loss has diverged
MIN_POINTS = 10


@dataclass(frozen=True)
class RangeTest:
    """The loss at each factor of the base rates, smoothed."""

    points: Sequence[tuple[float, float]]

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
    """Take steps at factors that rise evenly in their logarithm, until the loss diverges; uses the trainer up.

    Raises:
        RunError: the loss diverges within a few steps.
    """
    points: list[tuple[float, float]] = []
    weighted = weight = 0.0
    begin = time.perf_counter()
    with Display(max_steps=STEPS, step=0) as display:
        for step in range(STEPS):
            factor = MIN_FACTOR * (MAX_FACTOR / MIN_FACTOR) ** (step / (STEPS - 1))
            loss, _ = trainer.gradients(step)
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

"""The learning-rate range test: rates that rise step by step, and what the loss does (arXiv 1506.01186, section 3.3)."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lmcraft.errors import RunError
from lmcraft.training.display import Display
from lmcraft.training.loop import Trainer

STEPS = 100
LOWEST, HIGHEST = 1e-3, 1e2  # factors of the run's base rates
SMOOTHING = 0.8  # of the mean of the losses so far, at each step
LOST = 1.3  # the test ends where the loss is so many times its lowest


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
        """The factor from which on the loss rises."""
        return min(self.points, key=lambda point: point[1])[0]


def range_test(trainer: Trainer) -> RangeTest:
    """Take steps at factors that rise evenly in their logarithm, until the loss is lost; the trainer is spent afterwards.

    Raises:
        RunError: the loss is lost within a few steps.
    """
    points: list[tuple[float, float]] = []
    weighted = weight = 0.0
    begun = time.perf_counter()
    with Display(max_steps=STEPS, step=0) as display:
        for step in range(STEPS):
            factor = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
            loss, _ = trainer.gradients(step)
            weighted = SMOOTHING * weighted + (1 - SMOOTHING) * loss
            weight = SMOOTHING * weight + 1 - SMOOTHING
            smooth = weighted / weight
            if not math.isfinite(smooth) or (points and smooth > LOST * min(lowest for _, lowest in points)):
                break
            points.append((factor, smooth))
            trainer.optimizer.step(factor)
            each = (time.perf_counter() - begun) / (step + 1)
            display.update(step + 1, f"loss {smooth:.3f} at {factor:.3g} times the rates", left=(STEPS - step - 1) * each)
    if len(points) < 10:
        raise RunError("the loss is lost at a thousandth of the learning rates already: lower optimizer.learning_rate")
    return RangeTest(points)

"""Which units a step reads: each one with the same probability, independently of all others and of other steps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmcraft.training.dp.secret import Secret


@dataclass(frozen=True)
class PoissonSampler:
    """Draws each of `units` units with probability `rate`, and of these at most `max_units` at random."""

    units: int
    rate: float
    max_units: int
    secret: Secret

    def draw(self, step: int) -> NDArray[np.int64]:
        """The numbers of the units of a step, in ascending order."""
        generator = self.secret.generator("units", step)
        # As many units as independent draws would give; then any set of so many is equally likely.
        count = min(int(generator.binomial(self.units, self.rate)), self.max_units)
        return np.sort(generator.choice(self.units, count, replace=False, shuffle=False))

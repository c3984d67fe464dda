"""Tight composition: the distribution of the privacy loss of one step, convolved with itself by a Fourier transform.

Gopi, Lee and Wutschitz 2021, "Numerical composition of differential privacy" (arXiv 2106.02848), with two changes. The
distribution is tilted before the transform, so that rounding is relative to the tail that delta measures, and a delta of
1e-12 has digits. The grid ends where a Chernoff bound says that the loss does, which is sooner than theirs.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmcraft.privacy.accounting.rdp import rdp_epsilon
from lmcraft.privacy.accounting.sampled_gaussian import NEGATIVE_ORDERS, ORDERS, Array, SampledGaussian

MAX_ERROR = 0.01
RELATIVE_ERROR = 0.1  # of an epsilon below MAX_ERROR / RELATIVE_ERROR
MIN_ERROR = 1e-4
DELTA_ERROR = 1e-3  # of delta
MAX_CELLS = 2**23
COARSE_CELLS = 2**17
TILTED_TAIL = 1e-9
MIN_LOG_POWER = -80.0  # less than rounding
EPSILON_WINDOW = 60.0
MAX_EPSILON = 200.0  # above it nothing is private, and Renyi divergences are close


def prv_epsilon(mechanism: SampledGaussian, steps: int, delta: float) -> float:
    """An upper bound on epsilon, at most `MAX_ERROR` and a tenth above it (unless that took more than `MAX_CELLS`)."""
    looser = rdp_epsilon(mechanism, steps, delta)
    if looser > MAX_EPSILON:
        return looser
    error = MAX_ERROR
    while True:
        bounds = [_Direction(mechanism, steps, delta, with_unit).epsilon(error, MAX_CELLS) for with_unit in (True, False)]
        epsilon, reached = max(bounds)
        finer = max(RELATIVE_ERROR * epsilon, MIN_ERROR)
        if finer >= error or reached > error:
            return min(epsilon + reached, looser)
        error = finer


def coarse_prv_epsilon(mechanism: SampledGaussian, steps: int, delta: float) -> float:
    """About `prv_epsilon`, in milliseconds: on a coarse grid, and only of removing a unit, which is the worse as a rule."""
    epsilon, _ = _Direction(mechanism, steps, delta, True).epsilon(MIN_ERROR, COARSE_CELLS)
    return epsilon + min(max(RELATIVE_ERROR * epsilon, MIN_ERROR), MAX_ERROR)


@dataclass(frozen=True)
class _Direction:
    """The privacy loss of all steps when a unit is removed, or when it is added."""

    mechanism: SampledGaussian
    steps: int
    delta: float
    remove: bool

    def epsilon(self, error: float, max_cells: int) -> tuple[float, float]:
        """Epsilon on a grid, and its error: the desired one, or more if that took more than `max_cells`."""
        low, high, tilt = self._range()
        per_cell = math.sqrt(self.steps * math.log(12 / (DELTA_ERROR * self.delta)) / 2)  # Gopi et al., theorem 5.5
        cell = max(error / per_cell, (high - low) / (max_cells - 2))
        losses, masses = self._compose(low, high, cell, tilt)
        return _epsilon(losses, masses, self.delta * (1 - DELTA_ERROR)), cell * per_cell

    def _range(self) -> tuple[float, float, float]:
        """What the loss is within, of all steps and of one, but for a probability that `DELTA_ERROR` covers; the tilt.

        Tilted losses are below the upper end as well, but for `TILTED_TAIL`: they would wrap around, magnified.
        """
        positive = [(order, self.steps * self.mechanism.log_moment(order)) for order in ORDERS]
        negative = [(-order, self.steps * self.mechanism.log_moment(order)) for order in NEGATIVE_ORDERS]
        if self.remove:  # E_P[(P/Q)^a] = E_Q[(P/Q)^(a + 1)]
            rising, falling = [(a - 1, moment) for a, moment in positive], [(a + 1, moment) for a, moment in negative]
        else:
            rising, falling = negative, positive
        tail = DELTA_ERROR * self.delta / 8
        best = min(rising, key=lambda pair: (pair[1] - math.log(self.delta)) / pair[0])[0]
        tilt, total = min(rising, key=lambda pair: abs(pair[0] - best / 2))
        tilted = [(a - tilt, moment - total) for a, moment in rising if a > tilt]
        high = max(self._chernoff(rising, tail), _total_chernoff(tilted, TILTED_TAIL))
        return -self._chernoff(falling, tail), high, tilt

    def _chernoff(self, moments: list[tuple[float, float]], tail: float) -> float:
        """What no loss, of all steps or of one, exceeds but for `tail`, from pairs of a and log E[exp(a loss)] of all."""
        single = min((moment / self.steps - math.log(tail / self.steps)) / a for a, moment in moments)
        return max(_total_chernoff(moments, tail), single, 0.0)

    def _compose(self, low: float, high: float, cell: float, tilt: float) -> tuple[Array, Array]:
        """The distribution of the loss of all steps: losses [N], ascending, and their probabilities [N]."""
        first, masses = self._discretize(low, high, cell)
        k = first + np.arange(len(masses))
        shift = self.mechanism.mean_loss(with_unit=self.remove) - cell * float(np.dot(masses, k))
        with np.errstate(divide="ignore"):
            log_masses = np.log(masses) + tilt * cell * k
        largest = float(log_masses.max())
        tilted = np.exp(log_masses - largest)
        log_total = largest + math.log(float(tilted.sum()))
        size = _fast_length(max(math.ceil((high - low) / cell) + 2, len(masses)))
        ring = np.zeros(size)
        ring[k % size] = tilted / tilted.sum()
        composed = np.fft.irfft(_power(np.fft.rfft(ring), self.steps), size)
        start = math.floor((low - self.steps * shift) / cell)
        sums = start + np.arange(size)
        with np.errstate(divide="ignore"):
            log_composed = np.log(np.maximum(composed[sums % size], 0)) + self.steps * log_total - tilt * cell * sums
        losses: Array = np.asarray(sums * cell + self.steps * shift, dtype=np.float64)
        return losses, np.exp(np.minimum(log_composed, 0))

    def _discretize(self, low: float, high: float, cell: float) -> tuple[int, Array]:
        """Probability of the loss of one step in each cell around k * `cell`, and the first k."""
        least, most = self.mechanism.range_of_losses()
        if not self.remove:
            least, most = -most, -least
        first, last = math.floor(max(least, low) / cell) - 1, math.ceil(min(most, high) / cell) + 1
        bounds: Array = (np.arange(first, last + 2, dtype=np.float64) - 0.5) * cell
        if self.remove:
            return first, self.mechanism.masses(bounds, with_unit=True)
        return first, self.mechanism.masses(-bounds[::-1], with_unit=False)[::-1]


def _total_chernoff(moments: list[tuple[float, float]], tail: float) -> float:
    return min((moment - math.log(tail)) / a for a, moment in moments)


def _fast_length(least: int) -> int:
    """A length of at least this that transforms are fast for."""
    power = 2 ** max(math.ceil(math.log2(least)) - 3, 3)
    return int(power * math.ceil(least / power))


def _power(transform: NDArray[np.complex128], steps: int) -> NDArray[np.complex128]:
    """The transform to a power; most of it is 0 then."""
    with np.errstate(divide="ignore"):
        kept = np.flatnonzero(steps * np.log(np.abs(transform)) > MIN_LOG_POWER)
    result = np.zeros_like(transform)
    result[kept] = transform[kept] ** steps
    return result


def _epsilon(losses: Array, masses: Array, delta: float) -> float:
    """The epsilon >= 0 at which E[max(0, 1 - exp(epsilon - loss))] is delta (Gopi et al., equation 2)."""
    first = int(np.searchsorted(losses, 0.0))
    losses, tails = losses[first:], np.cumsum(masses[first:][::-1])[::-1]
    end = int(np.searchsorted(-tails, -delta))  # beyond it even the whole tail is below delta
    if end == 0:
        return 0.0
    reference = float(losses[min(end, len(losses) - 1)])
    weights = masses[first:] * np.exp(-np.clip(losses - reference, -600, 600))
    shrunk = np.cumsum(weights[::-1])[::-1]
    begin = int(np.searchsorted(losses, reference - EPSILON_WINDOW))
    window = slice(begin, min(end + 1, len(losses)))
    deltas = tails[window] - np.exp(losses[window] - reference) * shrunk[window]
    i = begin + int(np.searchsorted(-deltas, -delta))
    if i >= len(losses):
        return float(losses[-1])
    return max(reference + math.log((tails[i] - delta) / shrunk[i]) if tails[i] > delta else 0.0, 0.0)

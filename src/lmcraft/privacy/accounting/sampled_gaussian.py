"""One step of DP-SGD: each unit takes part with probability q, and the sum of the clipped gradients gets Gaussian noise.

Along the gradient of the unit by which two data sets differ, and in units of the clipping norm, the step returns x from
P = (1 - q) N(0, s^2) + q N(1, s^2) with the unit and from Q = N(0, s^2) without it (Mironov et al. 2019, arXiv 1908.10530,
theorem 4). The privacy loss of an output is log P(x)/Q(x) when the unit is removed, and minus that when it is added.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MAX_DEVIATIONS = 39.0  # a normal distribution has no mass beyond them in float64
WHOLE_ORDERS = (*range(2, 64), 64, 96, 128, 192, 256, 384, 512, 768, 1024)
ORDERS = tuple(1 + tenth / 10 for tenth in range(1, 100)) + WHOLE_ORDERS[10:]
NEGATIVE_ORDERS = (-0.25, -0.5, -1.0, -2.0, -4.0, -8.0, -16.0, -32.0, -64.0, -128.0)
_erfc = np.frompyfunc(math.erfc, 1, 1)


@dataclass(frozen=True)
class SampledGaussian:
    """The mechanism of a step.

    Args:
        sampling_rate: q, above 0 and at most 1.
        noise_multiplier: s, above 0.
    """

    sampling_rate: float
    noise_multiplier: float

    def log_ratio(self, x: Array) -> Array:
        """log P(x)/Q(x), elementwise; it grows with x."""
        return np.logaddexp(self._log_rest, math.log(self.sampling_rate) + (x - 0.5) / self.noise_multiplier**2)

    def output_at(self, log_ratio: Array) -> Array:
        """The x with a `log_ratio`, elementwise; -infinity where no x has so small a one."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            above = np.log(-np.expm1(np.minimum(self._log_rest - log_ratio, 0.0)))
        return self.noise_multiplier**2 * (log_ratio - math.log(self.sampling_rate) + above) + 0.5

    def masses(self, bounds: Array, *, with_unit: bool) -> Array:
        """Probability of a log ratio between each two neighboring bounds, [n] ascending -> [n - 1], under P or under Q."""
        x = self.output_at(bounds)
        without = _normal_masses(x / self.noise_multiplier)
        if not with_unit:
            return without
        return (1 - self.sampling_rate) * without + self.sampling_rate * _normal_masses((x - 1) / self.noise_multiplier)

    def mean_loss(self, *, with_unit: bool) -> float:
        """The mean of the privacy loss: KL(P || Q) when the unit is removed, KL(Q || P) when it is added."""
        x, step = self._points(0.0, 1.0)
        loss, density = self.log_ratio(x), self._density(x)
        if not with_unit:
            return -float(np.dot(density, loss)) * step
        mixed = (1 - self.sampling_rate) * density + self.sampling_rate * self._density(x - 1)
        return float(np.dot(mixed, loss)) * step

    def range_of_losses(self) -> tuple[float, float]:
        """Log ratios beyond which float64 has no mass."""
        reach = MAX_DEVIATIONS * self.noise_multiplier
        low, high = self.log_ratio(np.array([-reach, 1 + reach]))
        return float(low), float(high)

    def log_moment(self, order: float) -> float:
        """log E_Q[(P/Q)^order]: (order - 1) times the Renyi divergence of this order for orders above 1."""
        return _log_moment(self, order)

    def compute_log_moment(self, order: float) -> float:
        """What `log_moment` remembers."""
        rate, noise = self.sampling_rate, self.noise_multiplier
        if rate == 1:
            return order * (order - 1) / (2 * noise**2)
        if order > 1 and float(order).is_integer():
            return self._binomial_log_moment(int(order))
        x, step = self._points(min(order, 0.0), max(order, 0.0))
        return _log_sum(order * self.log_ratio(x) - x**2 / (2 * noise**2)) + math.log(
            step / (noise * math.sqrt(2 * math.pi))
        )

    def _binomial_log_moment(self, order: int) -> float:
        """Mironov et al. 2019, equation in section 3.3 for whole orders."""
        k = np.arange(order + 1)
        log_binomial = math.lgamma(order + 1) - _log_factorials()[k] - _log_factorials()[order - k]
        terms = log_binomial + k * math.log(self.sampling_rate) + (order - k) * self._log_rest
        return _log_sum(terms + k * (k - 1) / (2 * self.noise_multiplier**2))

    @property
    def _log_rest(self) -> float:
        return math.log1p(-self.sampling_rate) if self.sampling_rate < 1 else -math.inf

    def _density(self, x: Array) -> Array:
        return np.exp(-((x / self.noise_multiplier) ** 2) / 2) / (self.noise_multiplier * math.sqrt(2 * math.pi))

    def _points(self, low: float, high: float) -> tuple[Array, float]:
        """Points for the trapezoidal rule, and their distance.

        The integrands are analytic within pi s^2 of the real line and fall as a normal distribution, so the error is
        below exp(-39) (Trefethen and Weideman 2014, theorem 5.1).
        """
        noise = self.noise_multiplier
        step = min(noise / 3, noise**2 / 2)
        reach = MAX_DEVIATIONS * noise
        return np.arange(low - reach, high + reach, step), step


def _normal_masses(x: Array) -> Array:
    """Standard normal probability between each two neighbors of ascending x, small ones with all their digits too."""
    left, right = x[:-1], x[1:]
    tails = np.asarray(_erfc(np.abs(x) / math.sqrt(2)), dtype=np.float64) / 2
    low, high = tails[:-1], tails[1:]
    return np.where(left > 0, low - high, np.where(right < 0, high - low, 1 - low - high))


@lru_cache(maxsize=2048)
def _log_moment(mechanism: SampledGaussian, order: float) -> float:
    return mechanism.compute_log_moment(order)


def _log_sum(terms: Array) -> float:
    largest = float(terms.max())
    return largest + math.log(float(np.exp(terms - largest).sum()))


@lru_cache
def _log_factorials() -> Array:
    return np.array([math.lgamma(k + 1) for k in range(WHOLE_ORDERS[-1] + 1)])

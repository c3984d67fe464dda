"""Probabilities and quantiles of the beta, binomial, normal and Student's t distributions."""

from functools import lru_cache
from math import exp, inf, isinf, lgamma, log, log1p, sqrt
from statistics import NormalDist

NORMAL = NormalDist()
MAX_TERMS = 100_000
PRECISION = 1e-16
SMALLEST = 1e-300  # keeps a denominator of the continued fraction from being 0


def regularized_beta(x: float, a: float, b: float) -> float:
    """P(X <= x) of a beta distribution: I_x(a, b), for a, b > 0.

    The continued fraction of DLMF 8.17.22, by Lentz's method (Press et al., Numerical Recipes, section 6.4).
    """
    if x <= 0 or x >= 1:
        return float(x > 0)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly
        return 1 - regularized_beta(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            c, d = _not_zero(1 + term / c), 1 / _not_zero(1 + term * d)
            fraction *= c * d
        if abs(c * d - 1) <= PRECISION:
            break
    return min(1.0, front * fraction)


def _not_zero(value: float) -> float:
    return value or SMALLEST


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = probability, by bisection down to neighboring floats."""
    if not 0 < probability < 1:
        return float(probability >= 1)
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if regularized_beta(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return high


def binomial_probability(successes: int, trials: int, p: float) -> float:
    """P(X <= successes) of a binomial distribution (DLMF 8.17.5)."""
    if successes >= trials:
        return 1.0
    return 0.0 if successes < 0 else regularized_beta(1 - p, trials - successes, successes + 1)


@lru_cache
def t_quantile(probability: float, degrees: float) -> float:
    """The quantile of Student's t distribution; `degrees` of freedom > 0, not necessarily whole, or infinity."""
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees)
    if isinf(degrees):
        return NORMAL.inv_cdf(probability)
    share = beta_quantile(2 * probability - 1, 0.5, degrees / 2)  # t^2 / (degrees + t^2)
    return sqrt(degrees * share / (1 - share)) if share < 1 else inf


def two_sided_p_value(t: float, degrees: float) -> float:
    """P(|T| >= |t|) of Student's t distribution, or of the normal distribution for infinite `degrees`."""
    if isinf(degrees):
        return 2 * NORMAL.cdf(-abs(t))
    return regularized_beta(degrees / (degrees + t * t), degrees / 2, 0.5)

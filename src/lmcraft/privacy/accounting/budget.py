"""What a run of DP-SGD spends, and what it may do with a budget."""

import math
from collections.abc import Callable
from functools import lru_cache

from lmcraft.errors import UserError
from lmcraft.privacy.accounting.checks import (
    MAX_NOISE_MULTIPLIER,
    MAX_STEPS,
    MIN_NOISE_MULTIPLIER,
    check_delta,
    check_epsilon,
    check_noise_multiplier,
    check_sampling_rate,
    check_steps,
)
from lmcraft.privacy.accounting.prv import coarse_prv_epsilon, prv_epsilon
from lmcraft.privacy.accounting.rdp import rdp_epsilon
from lmcraft.privacy.accounting.sampled_gaussian import SampledGaussian
from lmcraft.privacy.guarantee import Accountant

Bound = Callable[[SampledGaussian, int, float], float]
BOUNDS: dict[Accountant, Bound] = {"prv": prv_epsilon, "rdp": rdp_epsilon}
QUICK_BOUNDS: dict[Accountant, Bound] = {"prv": coarse_prv_epsilon, "rdp": rdp_epsilon}
TOLERANCE = 1e-5  # relative, of the noise multiplier
MAX_DELTA = 1e-5


def default_delta(units: int) -> float:
    """The delta for a number of units: 1 / units^1.1 (Ponomareva et al. 2023, arXiv 2303.00654), and at most 1e-5."""
    return min(MAX_DELTA, math.pow(units, -1.1))


@lru_cache(maxsize=1024)
def spent_epsilon(
    *, sampling_rate: float, noise_multiplier: float, steps: int, delta: float, accountant: Accountant = "prv"
) -> float:
    """Epsilon after a number of steps: an upper bound.

    Args:
        sampling_rate: probability that a unit is in the batch of a step.
        noise_multiplier: standard deviation of the noise / norm to which gradients are clipped.
        steps: number of steps.
        delta: probability that the bound does not cover; without the part that pays for truncated batches.
        accountant: "prv", within 0.01 of the exact epsilon, or "rdp", which is looser.

    Raises:
        UserError: a value is out of its range.
    """
    check_noise_multiplier(noise_multiplier)
    _check(sampling_rate, steps, delta, accountant)
    return BOUNDS[accountant](SampledGaussian(sampling_rate, noise_multiplier), steps, delta) if steps else 0.0


@lru_cache(maxsize=256)
def noise_multiplier_for(
    *, epsilon: float, delta: float, sampling_rate: float, steps: int, accountant: Accountant = "prv"
) -> float:
    """The smallest noise multiplier with which all steps spend at most epsilon, within 0.1%.

    Raises:
        UserError: a value is out of its range, or no noise is enough.
    """
    check_epsilon(epsilon)
    _check(sampling_rate, steps, delta, accountant)
    if not steps:
        return MIN_NOISE_MULTIPLIER

    def excess(log_noise: float) -> float:
        spent = QUICK_BOUNDS[accountant](SampledGaussian(sampling_rate, math.exp(log_noise)), steps, delta)
        return math.log(max(spent, 1e-300) / epsilon)

    noise = math.exp(_falling_root(excess, math.log(MIN_NOISE_MULTIPLIER), math.log(MAX_NOISE_MULTIPLIER)))
    while noise <= MAX_NOISE_MULTIPLIER:
        spent = spent_epsilon(
            sampling_rate=sampling_rate, noise_multiplier=noise, steps=steps, delta=delta, accountant=accountant
        )
        if spent <= epsilon:
            return noise
        noise *= spent / epsilon * (1 + TOLERANCE)  # epsilon falls at least as fast as the noise grows
    raise UserError(
        f"no noise keeps {steps:,} steps within epsilon {epsilon:g} at delta {delta:g}"
        + (
            ", as the rdp accountant counts; use the prv accountant"
            if accountant == "rdp"
            else "; raise epsilon, or train fewer steps"
        )
    )


def steps_within(
    *, epsilon: float, delta: float, sampling_rate: float, noise_multiplier: float, accountant: Accountant = "prv"
) -> int:
    """The number of steps that epsilon pays for; 0 if it pays for none, and at most a billion.

    Raises:
        UserError: a value is out of its range.
    """
    check_epsilon(epsilon)
    check_noise_multiplier(noise_multiplier)
    _check(sampling_rate, 1, delta, accountant)
    mechanism = SampledGaussian(sampling_rate, noise_multiplier)
    low, high = 0, 1
    while high <= MAX_STEPS and QUICK_BOUNDS[accountant](mechanism, high, delta) <= epsilon:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if QUICK_BOUNDS[accountant](mechanism, middle, delta) <= epsilon else (low, middle)
    low = min(low, MAX_STEPS)
    while low and BOUNDS[accountant](mechanism, low, delta) > epsilon:
        low -= max(low // 10_000, 1)
    while (more := low + max(low // 10_000, 1)) <= MAX_STEPS and BOUNDS[accountant](mechanism, more, delta) <= epsilon:
        low = more
    return low


def _check(sampling_rate: float, steps: int, delta: float, accountant: Accountant) -> None:
    check_sampling_rate(sampling_rate)
    check_steps(steps)
    check_delta(delta)
    if accountant not in BOUNDS:
        raise UserError(f"the accountant is '{accountant}': it must be one of {', '.join(BOUNDS)}")


def _falling_root(function: Callable[[float], float], least: float, most: float) -> float:
    """Where a falling function is 0, or the end of the range that is nearer to that; the search begins at 0."""
    low = high = 0.0
    below = above = function(0.0)
    width = 0.5
    while below < 0 and low > least:
        high, above = low, below
        low = max(low - width, least)
        below, width = function(low), 2 * width
    while above > 0 and high < most:
        low, below = high, above
        high = min(high + width, most)
        above, width = function(high), 2 * width
    side = 0
    while high - low > TOLERANCE and below > 0 > above:  # regula falsi, Illinois
        middle = (low * above - high * below) / (above - below)
        middle = min(max(middle, low + TOLERANCE / 4), high - TOLERANCE / 4)
        value = function(middle)
        if value > 0:
            low, below, above = middle, value, above / 2 if side == 1 else above
            side = 1
        else:
            high, above, below = middle, value, below / 2 if side == -1 else below
            side = -1
    return high

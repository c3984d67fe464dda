"""Batches of fixed shape: units that Poisson sampling draws beyond their rows are left out, and delta pays for it."""

import math

from lmcraft.errors import UserError
from lmcraft.privacy.accounting.checks import check_delta, check_epsilon, check_sampling_rate, check_steps
from lmcraft.statistics.distributions import regularized_beta

TRUNCATION_SHARE = 0.01  # of delta
MAX_UNITS = 10**12


def max_rows_for(*, units: int, sampling_rate: float, steps: int, epsilon: float, delta: float) -> tuple[int, float]:
    """The rows of a batch, and the delta that leaving out units beyond them costs: at most 1% of `delta`.

    Chua et al. 2024, "Scalable DP-SGD: Shuffling vs. Poisson subsampling" (arXiv 2411.04205): truncated batches
    cost steps * P[Binomial(units, sampling_rate) > max_rows] * (1 + exp(epsilon)). The noise must be chosen for
    `delta` less that.

    Raises:
        UserError: a value is out of its range.
    """
    if not 1 <= units <= MAX_UNITS:
        raise UserError(f"units is {units}: a number from 1 to {MAX_UNITS:,} is needed")
    check_sampling_rate(sampling_rate)
    check_steps(steps)
    check_epsilon(epsilon)
    check_delta(delta)
    if steps == 0:
        return 1, 0.0
    budget = math.log(delta * TRUNCATION_SHARE)
    low, high = max(math.ceil(units * sampling_rate) - 1, 0), units  # the answer is in (low, high]
    while high - low > 1:
        middle = (low + high) // 2
        if _log_cost(units, sampling_rate, steps, epsilon, middle) <= budget:
            high = middle
        else:
            low = middle
    return high, math.exp(_log_cost(units, sampling_rate, steps, epsilon, high))


def _log_cost(units: int, sampling_rate: float, steps: int, epsilon: float, max_rows: int) -> float:
    if max_rows >= units:
        return -math.inf
    tail = regularized_beta(sampling_rate, max_rows + 1, units - max_rows)  # P[Binomial > max_rows], DLMF 8.17.5
    return math.log(steps * tail) + epsilon + math.log1p(math.exp(-epsilon)) if tail else -math.inf

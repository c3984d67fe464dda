"""Composition by Renyi divergences: those of single steps add up (Mironov 2017, arXiv 1702.07476, proposition 1)."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lmcraft.privacy.accounting.sampled_gaussian import ORDERS, SampledGaussian

REPORTED_ORDERS = tuple(order for order in ORDERS if order < 64)  # those of Opacus and TensorFlow Privacy
ROUGH_ORDERS = (*range(2, 17), 20, 24, 32, 48, 64, 96, 128, 256, 512)


def rdp_epsilon(mechanism: SampledGaussian, steps: int, delta: float) -> float:
    """The smallest epsilon that the divergences of `REPORTED_ORDERS` prove.

    The conversion is theorem 21 of Balle et al. 2020 (arXiv 1905.09982).
    """
    orders = np.array(REPORTED_ORDERS)
    divergences = steps * np.array([max(mechanism.log_moment(order), 0.0) / (order - 1) for order in REPORTED_ORDERS])
    epsilons = divergences - (math.log(delta) + np.log(orders)) / (orders - 1) + np.log1p(-1 / orders)
    return max(float(epsilons.min()), 0.0)


def rough_noise_multiplier(*, epsilon: float, delta: float, sampling_rate: float, steps: int) -> float | None:
    """About `noise_multiplier_for`, mostly 5 to 15% more; None for an epsilon below `log(1 / delta) / 511`."""
    k, orders = np.arange(ROUGH_ORDERS[-1] + 1.0), np.array(ROUGH_ORDERS, np.float64)
    rate = min(sampling_rate, 1 - 1e-12)
    fixed = _log_binomials() + k * math.log(rate) + np.maximum(orders[:, None] - k, 0) * math.log1p(-rate)
    allowed = epsilon - np.log1p(-1 / orders) + (math.log(delta) + np.log(orders)) / (orders - 1)

    def is_private(log_noise: float) -> bool:
        terms = fixed + k * (k - 1) / (2 * math.exp(2 * log_noise))
        largest = terms.max(axis=1)
        log_moments = largest + np.log(np.exp(terms - largest[:, None]).sum(axis=1))
        return bool((steps * np.maximum(log_moments, 0) / (orders - 1) <= allowed).any())

    low, high = math.log(0.05), math.log(1e6)
    if not is_private(high):
        return None
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if is_private(middle) else (middle, high)
    return math.exp(high)


@lru_cache
def _log_binomials() -> NDArray[np.float64]:
    """Of `ROUGH_ORDERS` over 0, 1, ..., -infinity beyond the order: [orders, most + 1]."""
    rows = np.full((len(ROUGH_ORDERS), ROUGH_ORDERS[-1] + 1), -math.inf)
    for row, order in zip(rows, ROUGH_ORDERS, strict=True):
        row[: order + 1] = [math.log(math.comb(order, k)) for k in range(order + 1)]
    return rows

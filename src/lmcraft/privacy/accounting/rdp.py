"""Composition by Renyi divergences: those of single steps add up (Mironov 2017, arXiv 1702.07476, proposition 1)."""

import math

import numpy as np

from lmcraft.privacy.accounting.sampled_gaussian import ORDERS, SampledGaussian

REPORTED_ORDERS = tuple(order for order in ORDERS if order < 64)  # those of Opacus and TensorFlow Privacy


def rdp_epsilon(mechanism: SampledGaussian, steps: int, delta: float) -> float:
    """The smallest epsilon that the divergences of `REPORTED_ORDERS` prove.

    The conversion is theorem 21 of Balle et al. 2020 (arXiv 1905.09982).
    """
    orders = np.array(REPORTED_ORDERS)
    divergences = steps * np.array([max(mechanism.log_moment(order), 0.0) / (order - 1) for order in REPORTED_ORDERS])
    epsilons = divergences - (math.log(delta) + np.log(orders)) / (orders - 1) + np.log1p(-1 / orders)
    return max(float(epsilons.min()), 0.0)

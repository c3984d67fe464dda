"""Epsilon, noise and steps, beside Opacus's accountants and closed forms."""

import math

import pytest

from lmcraft.errors import UserError
from lmcraft.privacy.accounting import (
    default_delta,
    noise_multiplier_for,
    rough_noise_multiplier,
    spent_epsilon,
    steps_within,
)
from lmcraft.privacy.guarantee import Accountant

# Sampling rate, noise multiplier, steps, delta, and what RDPAccountant and PRVAccountant of Opacus 1.6 return for
# `accountant.history = [(noise multiplier, sampling rate, steps)]; accountant.get_epsilon(delta)`.
OPACUS = [
    (0.0001, 0.5, 300, 1e-08, 4.15751, 2.34379),
    (0.0001, 1, 30000, 1e-08, 0.86603, 0.11783),
    (0.001, 0.5, 10, 1e-05, 3.15555, 1.09648),
    (0.001, 0.7, 3000, 1e-08, 3.04828, 2.19841),
    (0.001, 0.6, 30000, 1e-06, 5.06611, 4.25651),
    (0.01, 0.5, 10, 1e-05, 5.62143, 4.37112),
    (0.01, 0.7, 1, 1e-08, 3.65263, 2.83809),
    (0.01, 0.8, 1000, 1e-06, 4.29334, 3.71643),
    (0.01, 1, 3000, 1e-05, 3.51079, 3.20252),
    (0.01, 2, 10000, 1e-07, 2.88055, 2.71478),
    (0.05, 1.1, 500, 1e-06, 7.72272, 7.11073),
    (0.1, 1, 100, 1e-05, 7.89926, 7.05706),
    (0.1, 5, 3000, 1e-08, 6.86960, 6.52723),
    (0.1, 20, 3000, 1e-05, 1.12080, 1.03614),
    (0.5, 0.7, 10, 1e-05, 19.93177, 18.13829),
    (0.5, 2, 100, 1e-05, 15.39246, 14.29513),
    (0.5, 20, 300, 1e-10, 2.80035, 2.68297),
    (1, 0.5, 1, 1e-05, 10.72551, 10.00772),
    (1, 1, 10, 1e-05, 19.05360, 17.86730),
    (1, 5, 100, 1e-08, 13.38639, 12.75960),
    (1, 50, 1000, 1e-06, 3.13109, 2.93174),
    (0.01, 0.5, 300, 1e-06, 12.16704, 10.39655),
    (0.25, 3, 1000, 1e-05, 15.75479, 14.70697),
]


@pytest.mark.parametrize(("rate", "noise", "steps", "delta", "rdp", "prv"), OPACUS)
def test_epsilon_is_that_of_opacus(rate: float, noise: float, steps: int, delta: float, rdp: float, prv: float) -> None:
    epsilons = {
        accountant: spent_epsilon(
            sampling_rate=rate, noise_multiplier=noise, steps=steps, delta=delta, accountant=accountant
        )
        for accountant in ("rdp", "prv")
    }
    assert epsilons == pytest.approx({"rdp": rdp, "prv": prv}, abs=1e-3)


@pytest.mark.parametrize(
    ("rate", "noise", "steps", "delta", "epsilon"),
    [(0.001, 5, 10, 1e-8, 0.0038), (0.01, 20, 1000, 1e-5, 0.0484), (0.0001, 5, 3000, 1e-8, 0.0054)],
)
def test_a_small_epsilon_has_a_smaller_error(rate: float, noise: float, steps: int, delta: float, epsilon: float) -> None:
    """Beside Opacus's `get_epsilon(delta, eps_error=...)` with an error of 0.001 to 0.003."""
    spent = spent_epsilon(sampling_rate=rate, noise_multiplier=noise, steps=steps, delta=delta)
    assert spent == pytest.approx(epsilon, abs=2e-3)


def normal_tail(x: float) -> float:
    return math.erfc(x / math.sqrt(2)) / 2


def sampled_gaussian_delta(epsilon: float, rate: float, noise: float) -> float:
    """Delta of one step, exactly: P(x > threshold) - exp(epsilon) Q(x > threshold)."""
    threshold = noise**2 * math.log((math.exp(epsilon) - 1 + rate) / rate) + 0.5
    with_unit = (1 - rate) * normal_tail(threshold / noise) + rate * normal_tail((threshold - 1) / noise)
    return with_unit - math.exp(epsilon) * normal_tail(threshold / noise)


@pytest.mark.parametrize("delta", [1e-3, 1e-6, 1e-12, 1e-16])
@pytest.mark.parametrize(
    ("rate", "noise", "steps"),
    [(1.0, 0.2, 1), (1.0, 30.0, 100), (1.0, 3.0, 10), (0.3, 0.8, 1), (0.01, 0.3, 1), (1 - 1e-9, 2.0, 1)],
)
def test_epsilon_is_an_upper_bound_within_a_hundredth_of_the_exact_one(
    rate: float, noise: float, steps: int, delta: float
) -> None:
    epsilon = spent_epsilon(sampling_rate=rate, noise_multiplier=noise, steps=steps, delta=delta)
    single = noise / math.sqrt(steps)  # steps with all units are one step with less noise
    assert sampled_gaussian_delta(epsilon, rate, single) <= delta
    assert sampled_gaussian_delta(epsilon - 0.011, rate, single) > delta * 0.999


def test_a_unit_that_delta_covers_costs_nothing() -> None:
    assert spent_epsilon(sampling_rate=1e-9, noise_multiplier=1, steps=10, delta=1e-6) <= 1e-4
    assert spent_epsilon(sampling_rate=0.5, noise_multiplier=1, steps=0, delta=1e-6) == 0


@pytest.mark.parametrize(("noise", "steps"), [(0.01, 1), (0.02, 10)])
def test_hardly_any_noise_has_a_huge_epsilon(noise: float, steps: int) -> None:
    single = noise / math.sqrt(steps)
    least = 1 / (2 * single**2)
    assert least < spent_epsilon(sampling_rate=1, noise_multiplier=noise, steps=steps, delta=1e-5) < 1.4 * least


@pytest.mark.parametrize("accountant", ["prv", "rdp"])
@pytest.mark.parametrize(
    ("epsilon", "delta", "rate", "steps"),
    [(8, 1e-6, 0.01, 1000), (1, 1e-12, 0.1, 300), (50, 1e-6, 0.5, 100), (3, 1e-6, 1, 10_000)],
)
def test_noise_is_the_smallest_that_keeps_epsilon(
    epsilon: float, delta: float, rate: float, steps: int, accountant: Accountant
) -> None:
    noise = noise_multiplier_for(epsilon=epsilon, delta=delta, sampling_rate=rate, steps=steps, accountant=accountant)

    def spent(noise_multiplier: float) -> float:
        return spent_epsilon(
            sampling_rate=rate, noise_multiplier=noise_multiplier, steps=steps, delta=delta, accountant=accountant
        )

    assert spent(noise) <= epsilon < spent(noise * 0.999)


def test_small_budgets_need_much_noise() -> None:
    noise = noise_multiplier_for(epsilon=0.01, delta=1e-6, sampling_rate=0.1, steps=100)
    assert spent_epsilon(sampling_rate=0.1, noise_multiplier=noise, steps=100, delta=1e-6) <= 0.01
    with pytest.raises(UserError, match="no noise keeps 100 steps within epsilon 1e-06 at delta 1e-06; raise"):
        noise_multiplier_for(epsilon=1e-6, delta=1e-6, sampling_rate=0.1, steps=100)
    with pytest.raises(UserError, match="use the prv accountant"):
        noise_multiplier_for(epsilon=0.01, delta=1e-6, sampling_rate=0.1, steps=100, accountant="rdp")


@pytest.mark.parametrize(
    ("epsilon", "rate", "steps"), [(8.0, 0.01, 1000), (1.0, 0.1, 300), (3.0, 0.001, 10_000), (0.3, 0.05, 100)]
)
def test_rough_noise_is_a_little_more_than_needed(epsilon: float, rate: float, steps: int) -> None:
    rough = rough_noise_multiplier(epsilon=epsilon, delta=1e-6, sampling_rate=rate, steps=steps)
    exact = noise_multiplier_for(epsilon=epsilon, delta=1e-6, sampling_rate=rate, steps=steps)
    assert rough is not None and exact < rough < 1.2 * exact
    assert rough_noise_multiplier(epsilon=0.001, delta=1e-6, sampling_rate=rate, steps=steps) is None


@pytest.mark.parametrize("accountant", ["prv", "rdp"])
def test_steps_within_a_budget(accountant: Accountant) -> None:
    steps = steps_within(epsilon=4, delta=1e-6, sampling_rate=0.05, noise_multiplier=1.5, accountant=accountant)
    spent = [
        spent_epsilon(sampling_rate=0.05, noise_multiplier=1.5, steps=count, delta=1e-6, accountant=accountant)
        for count in (steps, steps + 2)
    ]
    assert spent[0] <= 4 < spent[1]


def test_a_budget_may_pay_for_no_step() -> None:
    assert steps_within(epsilon=0.1, delta=1e-6, sampling_rate=0.5, noise_multiplier=0.5) == 0


def test_delta_is_far_below_one_in_units() -> None:
    assert [default_delta(units) for units in (1, 1000)] == [1e-5, 1e-5]
    assert default_delta(10**6) == pytest.approx(10**-6.6)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("sampling_rate", 0.0, "sampling rate is 0"),
        ("sampling_rate", 1.5, "sampling rate is 1.5"),
        ("sampling_rate", math.nan, "sampling rate is nan"),
        ("noise_multiplier", 0.0, "noise multiplier is 0"),
        ("noise_multiplier", math.inf, "noise multiplier is inf"),
        ("steps", -1, "number of steps is -1"),
        ("delta", 0.0, "delta is 0"),
        ("delta", 1.0, "delta is 1"),
        ("accountant", "gdp", "must be one of prv, rdp"),
    ],
)
def test_values_out_of_range(setting: str, value: float | str, message: str) -> None:
    settings = {"sampling_rate": 0.1, "noise_multiplier": 1.0, "steps": 10, "delta": 1e-6, setting: value}
    with pytest.raises(UserError, match=message):
        spent_epsilon(**settings)
    with pytest.raises(UserError, match="epsilon is inf"):
        noise_multiplier_for(epsilon=math.inf, delta=1e-6, sampling_rate=0.1, steps=1)

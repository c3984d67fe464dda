"""Rows of a batch of fixed shape."""

import math

import pytest

from lmcraft.errors import UserError
from lmcraft.privacy.accounting import max_rows_for


def binomial_tail(units: int, rate: float, rows: int) -> float:
    return sum(math.comb(units, k) * rate**k * (1 - rate) ** (units - k) for k in range(rows + 1, units + 1))


@pytest.mark.parametrize(("units", "rate"), [(50, 0.1), (300, 0.02), (200, 0.5)])
def test_rows_are_the_fewest_that_one_percent_of_delta_pays_for(units: int, rate: float) -> None:
    rows, cost = max_rows_for(units=units, sampling_rate=rate, steps=100, epsilon=8, delta=1e-6)
    exact = [100 * (1 + math.exp(8)) * binomial_tail(units, rate, limit) for limit in (rows, rows - 1)]
    assert exact[0] == pytest.approx(cost, rel=1e-6)
    assert exact[0] <= 1e-8 < exact[1]


def test_rows_of_huge_data_are_few_more_than_expected() -> None:
    rows, cost = max_rows_for(units=10**9, sampling_rate=1e-3, steps=10_000, epsilon=8, delta=1e-10)
    assert 10**6 < rows < 1.01 * 10**6
    assert 0 < cost <= 1e-12


@pytest.mark.parametrize(("units", "rate"), [(1, 1.0), (10, 0.5), (1000, 1.0)])
def test_all_units_cost_nothing(units: int, rate: float) -> None:
    assert max_rows_for(units=units, sampling_rate=rate, steps=100, epsilon=8, delta=1e-5) == (units, 0.0)


def test_an_epsilon_beyond_the_exponential_function() -> None:
    rows, cost = max_rows_for(units=1000, sampling_rate=0.1, steps=100, epsilon=2000, delta=1e-6)
    assert 100 < rows <= 1000
    assert cost <= 1e-8


def test_values_out_of_range() -> None:
    with pytest.raises(UserError, match="units is 0"):
        max_rows_for(units=0, sampling_rate=0.1, steps=1, epsilon=8, delta=1e-5)

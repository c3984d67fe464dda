"""Quantiles and probabilities against the values of tables and of closed forms."""

from math import comb, inf, pi, sin, tan

import pytest

from lmcraft.statistics.distributions import (
    beta_quantile,
    binomial_probability,
    regularized_beta,
    t_quantile,
    two_sided_p_value,
)


@pytest.mark.parametrize("p", [1e-6, 0.025, 0.3, 0.5, 0.975, 1 - 1e-9])
def test_beta_quantiles_with_closed_forms(p: float) -> None:
    assert beta_quantile(p, 1, 7) == pytest.approx(1 - (1 - p) ** (1 / 7), rel=1e-9)
    assert beta_quantile(p, 7, 1) == pytest.approx(p ** (1 / 7), rel=1e-9)
    assert beta_quantile(p, 0.5, 0.5) == pytest.approx(sin(pi * p / 2) ** 2, rel=1e-9)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (3, 8), (30.5, 0.5), (400, 700), (1e5, 3e5)])
def test_the_beta_quantile_inverts_the_probability(a: float, b: float) -> None:
    for p in (0.001, 0.025, 0.5, 0.975):
        assert regularized_beta(beta_quantile(p, a, b), a, b) == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize("trials", [1, 2, 10, 57])
@pytest.mark.parametrize("p", [0.001, 0.3, 0.5, 0.95])
def test_binomial_probabilities_are_sums(trials: int, p: float) -> None:
    total = 0.0
    for k in range(trials + 1):
        total += comb(trials, k) * p**k * (1 - p) ** (trials - k)
        assert binomial_probability(k, trials, p) == pytest.approx(total, abs=1e-12)
    assert binomial_probability(-1, trials, p) == 0


def test_students_quantiles() -> None:
    assert t_quantile(0.975, 1) == pytest.approx(tan(pi * 0.475), rel=1e-9)
    assert t_quantile(0.975, 2) == pytest.approx(0.95 * (2 / (1 - 0.95**2)) ** 0.5, rel=1e-9)
    table = {5: 2.570581836, 10: 2.228138852, 30: 2.042272456, 120: 1.979930405, inf: 1.959963985}
    assert {n: t_quantile(0.975, n) for n in table} == pytest.approx(table, abs=1e-9)
    assert t_quantile(0.025, 10) == -t_quantile(0.975, 10) and t_quantile(0.5, 3) == 0
    for degrees in (1, 2.5, 29, 1e6, inf):
        assert two_sided_p_value(t_quantile(0.9, degrees), degrees) == pytest.approx(0.2, abs=1e-9)

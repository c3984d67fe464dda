"""Lower bounds on epsilon from guesses of coins."""

import numpy as np
import pytest

from lmcraft.audits.privacy.one_run import (
    Guesses,
    audit_one_run,
    epsilon_bound,
    gaussian_bound,
    gaussian_epsilon,
    guess_coins,
    p_value,
)
from lmcraft.statistics.distributions import binomial_probability

DELTA = 1e-5


def test_without_delta_the_p_value_is_that_of_randomized_response() -> None:
    right = np.exp(1.5) / (1 + np.exp(1.5))
    expected = 1 - binomial_probability(84, 100, right)
    assert p_value(Guesses(1000, 100, 85), 1.5, 0.0) == pytest.approx(expected)
    assert p_value(Guesses(1000, 100, 85), 1.5, 1e-5) > expected
    assert p_value(Guesses(1000, 100, 0), 1.5, 1e-5) == 1


def test_a_hundred_right_guesses_of_a_hundred() -> None:
    # 0.05 = P(100 right) = p^100, so p = 0.05^(1/100)
    p = 0.05 ** (1 / 100)
    assert epsilon_bound(Guesses(100, 100, 100), 0.0) == pytest.approx(np.log(p / (1 - p)), abs=1e-6)


@pytest.mark.parametrize("bound", [epsilon_bound, gaussian_bound])
def test_half_of_the_guesses_right_bound_nothing(bound: object) -> None:
    assert callable(bound)
    assert bound(Guesses(1000, 200, 100), DELTA) == 0
    assert bound(Guesses(1000, 200, 0), DELTA) == 0
    assert bound(Guesses(1000, 200, 190), DELTA) > bound(Guesses(1000, 200, 150), DELTA) > 0


def test_the_epsilon_of_a_gaussian_mechanism() -> None:
    assert gaussian_epsilon(1.0, 1e-5) == pytest.approx(4.3770, abs=1e-3)  # dp-accounting 0.6, GaussianDpEvent(1.0), PLD
    assert gaussian_epsilon(0.5, 0.9) == 0


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("mu", [0.5, 2.0])
def test_bounds_stay_below_the_epsilon_of_the_mechanism(mu: float, gaussian: bool) -> None:
    rng, bounds = np.random.default_rng(1), []
    for _ in range(20):
        included = rng.random(1000) < 0.5
        bounds.append(audit_one_run(rng.normal(size=1000) + mu * included, included, DELTA, gaussian=gaussian).epsilon)
    assert max(bounds) < gaussian_epsilon(mu, DELTA)
    assert np.median(bounds) > 0.2 * gaussian_epsilon(mu, DELTA)


def test_scores_that_know_nothing_bound_nothing() -> None:
    rng = np.random.default_rng(0)
    bounds = [audit_one_run(rng.normal(size=400), rng.random(400) < 0.5, DELTA).epsilon for _ in range(40)]
    assert sum(bound > 0 for bound in bounds) <= 4  # 5% on average


def test_guesses_take_the_extremes() -> None:
    scores, coins = [5.0, 4.0, 3.0, 2.0, 1.0], [True, False, True, True, False]
    assert guess_coins(scores, coins, 2) == Guesses(5, 2, 2)
    assert guess_coins(scores, coins, 4) == Guesses(5, 4, 2)
    assert audit_one_run([1.0], [True], DELTA).epsilon == 0

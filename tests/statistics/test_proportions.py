"""Intervals of proportions: tables, and exact coverage."""

from math import comb, isnan, nan

import numpy as np
import pytest

from lmcraft.statistics.intervals import Metric
from lmcraft.statistics.proportions import clustered_proportion, jeffreys, proportion, wilson

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def test_wilsons_interval_is_the_textbooks() -> None:
    metric = wilson(8, 10)
    assert (metric.value, metric.low, metric.high) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 5).low == pytest.approx(0, abs=1e-9) and wilson(5, 5).high == pytest.approx(1)


def test_jeffreys_interval_is_that_of_its_prior() -> None:
    """Quantiles of beta distributions by mpmath, with 40 digits."""
    metric, many = jeffreys(8, 10), jeffreys(150, 1000)
    assert (metric.low, metric.high) == pytest.approx((0.49722550356, 0.9559405864474), abs=1e-12)
    assert (many.low, many.high) == pytest.approx((0.1288930442071, 0.1731293334363), abs=1e-12)
    assert jeffreys(0, 30).high == pytest.approx(0.07967817381726, abs=1e-12)
    assert jeffreys(0, 5).low == 0 and jeffreys(5, 5).high == 1
    assert jeffreys(2, 10).high == pytest.approx(1 - metric.low)


def coverage(intervals: list[Metric], p: float) -> float:
    """The exact probability that the interval of a binomial number covers p."""
    n = len(intervals) - 1
    probabilities = [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    return sum(q for q, metric in zip(probabilities, intervals, strict=True) if metric.low <= p <= metric.high)


@pytest.mark.parametrize("trials", [10, 30, 50, 100])
def test_the_interval_covers_the_proportion(trials: int) -> None:
    """Nominally 95%; at worst 93%, over all proportions from 0.05 to 0.95."""
    intervals = [proportion(k, trials) for k in range(trials + 1)]
    coverages = [coverage(intervals, p) for p in np.linspace(0.05, 0.95, 181)]
    assert min(coverages) >= 0.93 and np.mean(coverages) < 0.985


def test_wilson_and_jeffreys_cover_it_on_average() -> None:
    for method in (wilson, jeffreys):
        intervals = [method(k, 30) for k in range(31)]
        coverages = [coverage(intervals, p) for p in np.linspace(0.05, 0.95, 181)]
        assert 0.945 < np.mean(coverages) < 0.955 and min(coverages) < 0.93


def test_a_simulation_agrees_at_30_items() -> None:
    rng = np.random.default_rng(0)
    intervals = [proportion(k, 30) for k in range(31)]
    for p in np.linspace(0.05, 0.95, 19):
        drawn = rng.binomial(30, p, size=10_000)
        assert np.mean([intervals[k].low <= p <= intervals[k].high for k in drawn]) >= 0.93


@pytest.mark.parametrize("trials", [0, 1, 2, 10])
def test_few_trials_and_all_of_one_kind(trials: int) -> None:
    for successes in {0, trials}:
        metric = proportion(successes, trials)
        assert isnan(metric.value) if not trials else metric.value == successes / trials
        if trials < 2:
            assert metric.low is None and metric.high is None
        else:
            assert 0 <= metric.low < metric.high <= 1
    assert isnan(wilson(0, 0).value) and isnan(jeffreys(0, 0).value)


def test_impossible_proportions_are_refused() -> None:
    for function in (proportion, wilson, jeffreys):
        for successes, trials in ((3, 2), (-1, 2), (0, -1)):
            with pytest.raises(ValueError, match=f"{successes} successes in {trials} trials"):
                function(successes, trials)


def test_items_that_share_passages_say_less() -> None:
    outcomes = [1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    shared = clustered_proportion(outcomes, [i // 4 for i in range(16)])
    alone = clustered_proportion(outcomes, range(16))
    assert shared.value == alone.value == 10 / 16
    assert shared.low < alone.low < alone.high < shared.high
    plain = proportion(10, 16)
    assert alone.low == pytest.approx(plain.low, abs=0.02) and alone.high == pytest.approx(plain.high, abs=0.02)


def test_clustered_outcomes_without_variation() -> None:
    assert clustered_proportion([1] * 8, list("aabbccdd")) == proportion(4, 4)
    assert clustered_proportion([1, 0], ["a", "a"]) == Metric(0.5)
    assert isnan(clustered_proportion([], []).value) and isnan(clustered_proportion([1, nan], ["a", "b"]).value)
    balanced = clustered_proportion([1, 0, 0, 1], list("aabb"))
    assert (balanced.low, balanced.high) == (proportion(1, 2).low, proportion(1, 2).high)
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        clustered_proportion([0.5, 1], ["a", "b"])

"""Bootstrap intervals: coverage, clusters, and statistics that have none."""

from itertools import islice
from math import isnan, nan

import numpy as np
import pytest

from lmcraft.statistics.bootstrap import bootstrap, bootstrap_sums, resamples
from lmcraft.statistics.intervals import Metric, mean_interval

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def mean(samples: np.ndarray) -> np.ndarray:
    return samples.mean(1)


def f1(samples: np.ndarray) -> np.ndarray:
    """Of true positives, false positives and false negatives, (samples, items, 3)."""
    true, false, missed = samples.sum(1).T
    return 2 * true / (2 * true + false + missed)


@pytest.mark.parametrize(
    ("items", "draw", "true", "least"),
    [
        (10, lambda rng, n: rng.normal(0, 1, n), 0, 0.90),
        (10, lambda rng, n: rng.exponential(1, n), 1, 0.87),
        (30, lambda rng, n: rng.exponential(1, n), 1, 0.90),
        (30, lambda rng, n: rng.lognormal(0, 1, n), np.exp(0.5), 0.86),
    ],
)
def test_the_interval_covers_the_mean_as_often_as_it_says(items: int, draw, true: float, least: float) -> None:
    """bootstrap's docstring says 95, 92, 94 and 91%; three standard errors of 200 samples are 5%."""
    rng = np.random.default_rng(0)
    intervals = [bootstrap(draw(rng, items), mean) for _ in range(200)]
    assert least <= np.mean([m.low <= true <= m.high for m in intervals]) <= 0.99


def test_the_mean_of_many_items_has_the_interval_of_theory() -> None:
    values = np.random.default_rng(1).normal(size=1500)
    drawn, exact = bootstrap(values, mean), mean_interval(values)
    assert drawn.value == pytest.approx(exact.value)
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.005)


def test_the_seed_decides() -> None:
    values = np.arange(20.0) ** 2
    assert bootstrap(values, mean) == bootstrap(values, mean) != bootstrap(values, mean, seed=1)


def test_any_statistic_of_any_items() -> None:
    counts = np.random.default_rng(2).integers(0, 5, size=(40, 3))
    metric = bootstrap(counts, f1)
    assert metric.value == pytest.approx(f1(counts[None].astype(float))[0]) and metric.low < metric.value < metric.high
    median = bootstrap(np.arange(41.0), lambda samples: np.median(samples, 1))
    assert median.value == 20 and 8 < median.low < 20 < median.high < 32


def test_clusters_are_drawn_whole() -> None:
    values, names = np.repeat(np.random.default_rng(3).normal(size=20), 5), [i // 5 for i in range(100)]
    clustered, exact = bootstrap(values, mean, names), mean_interval(values, names)
    assert (clustered.low, clustered.high) == pytest.approx((exact.low, exact.high), abs=0.1)
    alone = bootstrap(values, mean)
    assert clustered.high - clustered.low > 1.7 * (alone.high - alone.low)


@pytest.mark.parametrize("values", [[0.1] * 20, [1.0] * 7, range(7)])
def test_too_few_or_equal_items_have_no_interval(values) -> None:
    metric = bootstrap(values, mean)
    assert metric == Metric(pytest.approx(np.mean(values)))


def test_one_cluster_has_no_interval() -> None:
    assert bootstrap(range(20), mean, ["a"] * 20) == Metric(9.5)


@pytest.mark.parametrize("values", [[], [nan] * 20, [1.0] * 19 + [np.inf]])
def test_what_is_not_finite_is_no_number(values: list[float]) -> None:
    metric = bootstrap(values, mean)
    assert isnan(metric.value) and metric.low is None


def test_a_statistic_that_replicates_cannot_have_has_no_interval() -> None:
    """One of 20 items has a true positive: a third of the replicates have none, and 0 / 0."""
    counts = np.zeros((20, 3))
    counts[0] = 1
    assert bootstrap(counts, f1) == Metric(0.5)
    assert isnan(bootstrap(np.zeros((20, 3)), f1).value)


def test_a_sample_of_clusters_has_their_items() -> None:
    codes = np.array([0, 1, 0, 2, 1, 0])
    for rows in islice(resamples(codes, np.random.default_rng(0)), 20):
        counts = np.bincount(rows[0], minlength=6)
        drawn = [counts[codes == code] for code in range(3)]
        assert all((times == times[0]).all() for times in drawn) and sum(times[0] for times in drawn) == 3


def test_sums_of_items_that_repeat_have_the_interval_of_the_items() -> None:
    """The F1 of 400 items of four kinds, as kinds and one by one."""
    kinds, counts = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]), [220, 40, 60, 80]

    def of_sums(sums: np.ndarray) -> np.ndarray:
        return f1(sums[:, None])

    grouped, single = bootstrap_sums(kinds, counts, of_sums), bootstrap(np.repeat(kinds, counts, axis=0), f1)
    assert grouped.value == single.value
    assert (grouped.low, grouped.high) == pytest.approx((single.low, single.high), abs=0.004)
    assert bootstrap_sums(kinds, counts, of_sums) == grouped != bootstrap_sums(kinds, counts, of_sums, seed=1)


def test_sums_that_tell_nothing() -> None:
    def share(sums: np.ndarray) -> np.ndarray:
        return sums[:, 0] / sums[:, 1]

    assert bootstrap_sums([[1, 1], [0, 1]], [3, 4], share) == Metric(pytest.approx(3 / 7))  # fewer than 8 items
    assert bootstrap_sums([[1, 1], [0, 1]], [30, 0], share) == Metric(1.0)
    assert isnan(bootstrap_sums(np.zeros((0, 2)), [], share).value)
    assert isnan(bootstrap_sums([[0, 0]], [9], share).value) and isnan(bootstrap_sums([[nan, 1]], [9], share).value)
    with pytest.raises(ValueError, match="2 kinds of items and 1 counts"):
        bootstrap_sums([[1, 1], [0, 1]], [3], share)

"""Intervals of means and ratios: what they cover, and what they say when there is nothing to say."""

import json
from dataclasses import asdict
from math import exp, inf, isnan, nan, sqrt
from operator import neg

import numpy as np
import pytest

from lmcraft.json_lines import format_json
from lmcraft.statistics.distributions import t_quantile
from lmcraft.statistics.intervals import (
    Estimate,
    Metric,
    describe_metric,
    estimate_mean,
    estimate_ratio,
    mean_interval,
    perplexity,
    ratio_interval,
)

SAMPLES = 1000
SLACK = 0.02  # three standard errors of a coverage of 95%

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def test_intervals_are_finite_numbers() -> None:
    assert Metric(2.0, 1.0, 3.0).mapped(neg) == Metric(-2.0, -3.0, -1.0)
    assert Metric(5.0, -1e3, 1e3).mapped(perplexity) == Metric(exp(5.0))
    assert describe_metric(asdict(Metric(2.0, 1.0, 3.0))) == "2.000 (1.000 to 3.000)"
    assert describe_metric(json.loads(format_json(asdict(Metric(1e4).mapped(perplexity))))) == "no finite value"


def test_nothing_measured_stays_nothing() -> None:
    nothing = mean_interval([])
    assert isnan(nothing.value) and isnan(nothing.mapped(perplexity).value)
    assert describe_metric(asdict(nothing)) == "no finite value"


def test_the_interval_of_a_mean_is_the_textbooks() -> None:
    metric = mean_interval([4.0, 6.0, 7.0, 11.0])  # standard deviation sqrt(26 / 3), t = 3.182446
    half = 3.182446305 * sqrt(26 / 3) / 2
    assert (metric.value, metric.low, metric.high) == pytest.approx((7, 7 - half, 7 + half), rel=1e-9)


def test_clusters_of_one_size_are_items() -> None:
    """The means of clusters of one size are a sample themselves."""
    values, names = np.random.default_rng(0).normal(size=(6, 4)), [name for name in "abcdef" for _ in range(4)]
    clustered, means = estimate_mean(values.ravel(), names), estimate_mean(values.mean(1))
    assert (clustered.value, clustered.standard_error) == pytest.approx((means.value, means.standard_error))
    assert clustered.degrees == pytest.approx(5) and means.degrees == pytest.approx(5)


def test_a_repeated_item_adds_no_certainty() -> None:
    values = [1.0, 4.0, 2.0, 8.0, 5.0]
    once, thrice = mean_interval(values), mean_interval(values * 3, list(range(5)) * 3)
    assert asdict(thrice) == pytest.approx(asdict(once))


def test_degrees_of_freedom_are_those_of_the_definition() -> None:
    """(tr M)^2 / tr(M^2), M the quadratic form of the variance, for residuals that vary with the denominators."""
    denominators = np.array([1.0, 2, 3, 10, 4])
    shares = denominators / denominators.sum()
    covariance = np.diag(shares) - np.outer(shares, shares)
    form = covariance / np.sqrt(np.outer(1 - shares, 1 - shares))
    expected = np.trace(form) ** 2 / np.trace(form @ form)
    assert estimate_ratio([3.0, 1, 5, 30, 2], denominators).degrees == pytest.approx(expected)


def clustered_samples(sizes: list[int], correlation: float) -> tuple[np.ndarray, list[int]]:
    rng, codes = np.random.default_rng(1), np.repeat(np.arange(len(sizes)), sizes)
    shared = rng.normal(size=(SAMPLES, len(sizes)))[:, codes]
    return sqrt(correlation) * shared + sqrt(1 - correlation) * rng.normal(size=(SAMPLES, len(codes))), codes.tolist()


@pytest.mark.parametrize(
    ("sizes", "correlation", "coverage"),
    [
        ([4] * 5, 0.5, 0.95),
        ([4] * 20, 0.5, 0.95),
        ([1, 2, 4, 8, 16], 0.3, 0.95),
        ([1] * 10 + [10] * 2, 0.8, 0.93),
        ([1] * 30 + [20] * 3, 0.8, 0.91),
    ],
)
def test_intervals_of_few_clusters_cover_the_mean(sizes: list[int], correlation: float, coverage: float) -> None:
    samples, codes = clustered_samples(sizes, correlation)
    estimates = [estimate_mean(sample, codes) for sample in samples]
    reach = t_quantile(0.975, estimates[0].degrees)
    assert np.mean([abs(e.value) <= reach * e.standard_error for e in estimates]) > coverage - SLACK


def test_without_clusters_correlated_items_seem_certain() -> None:
    samples, _ = clustered_samples([10] * 10, 0.5)
    estimates = [estimate_mean(sample) for sample in samples]
    assert np.mean([abs(e.value) <= 2 * e.standard_error for e in estimates]) < 0.7


def test_bits_per_byte_of_documents_of_any_length() -> None:
    rng, hits = np.random.default_rng(2), 0
    for _ in range(SAMPLES):
        sizes = np.exp(rng.normal(7, 1, size=20))
        estimate = estimate_ratio(sizes * (1 + 0.2 * rng.normal(size=20)), sizes)
        hits += (estimate.value - 1) ** 2 <= (2.1 * estimate.standard_error) ** 2  # 19 degrees at most: 2.093
    assert 0.88 < hits / SAMPLES < 0.97
    metric = ratio_interval([10.0, 40.0], [10.0, 20.0])
    assert metric.value == pytest.approx(50 / 30) and metric.low is not None


@pytest.mark.parametrize(
    "metric",
    [
        mean_interval([0.1]),
        mean_interval([0.1] * 7),
        mean_interval([1e300, 1e300]),
        mean_interval([1.0, 2.0, 3.0], ["a", "a", "a"]),
        mean_interval([1.0, 2.0, 1.0, 2.0], ["a", "a", "b", "b"]),
        ratio_interval([0.3, 0.6, 0.9], [1, 2, 3]),
        ratio_interval([1.0, 0.0], [3.0, 0.0]),
    ],
)
def test_without_variation_there_is_no_interval(metric: Metric) -> None:
    assert np.isfinite(metric.value) and metric.low is None and metric.high is None


@pytest.mark.parametrize("values", [[], [nan], [1.0, nan, 2.0], [1.0, inf], [1e308] * 9])
def test_what_is_not_finite_is_no_number(values: list[float]) -> None:
    metric = mean_interval(values)
    assert isnan(metric.value) and metric.low is None
    assert estimate_mean(values).p_value is None
    assert isnan(ratio_interval(values, [0.0] * len(values)).value)


def test_p_values_without_variation() -> None:
    assert Estimate(0.0).p_value == 1 and Estimate(0.5).p_value is None and Estimate(nan).p_value is None
    assert estimate_mean([4.0, 6.0, 7.0, 11.0]).p_value == pytest.approx(0.0176, abs=1e-4)


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="2 numerators and 3 denominators"):
        ratio_interval([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"denominator -1\.0"):
        ratio_interval([1.0, 2.0], [1.0, -1.0])
    with pytest.raises(ValueError, match="2 items and the clusters of 1"):
        mean_interval([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        mean_interval([[1.0, 2.0]])

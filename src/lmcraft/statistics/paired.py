"""Two models compared: on the same items, on different items, and the smallest difference that a test can detect."""

from dataclasses import dataclass
from math import isnan, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike

from lmcraft.statistics.bootstrap import MAX_CHUNK_NUMBERS, REPLICATES, Statistic, bootstrap
from lmcraft.statistics.distributions import NORMAL, binomial_probability, t_quantile, two_sided_p_value
from lmcraft.statistics.intervals import (
    ROUNDING,
    UPPER,
    Clusters,
    Metric,
    as_floats,
    cluster_codes,
    estimate_mean,
    estimate_ratio,
)
from lmcraft.statistics.proportions import proportion

POWER = 0.8  # probability of detecting a difference, by default


@dataclass(frozen=True)
class Comparison:
    """The gain of the second model over the first, and the p-value of the hypothesis that there is none."""

    gain: Metric
    """The second model's number less the first's."""
    p_value: float | None
    """Two-sided; None if the items do not tell it."""
    test: str
    """The name of the test."""

    @property
    def detectable(self) -> float:
        """The smallest true gain that a test at the 5% level detects on such items with a probability of 80%.

        It follows from the width of the interval, which is 2 z_0.975 standard errors: z_0.975 + z_0.8 of them, as in
        `minimum_detectable_effect`. NaN without an interval.
        """
        if self.gain.low is None or self.gain.high is None:
            return nan
        z = NORMAL.inv_cdf(UPPER)
        return (self.gain.high - self.gain.low) / 2 * (z + NORMAL.inv_cdf(POWER)) / z


def compare_paired(
    first: ArrayLike, second: ArrayLike, denominators: ArrayLike | None = None, clusters: Clusters = None
) -> Comparison:
    """Compare two models on the same items.

    Zeros and ones without clusters are compared by the exact McNemar test, with the interval of `paired_proportions`. These
    are two methods: where p is close to 0.05, one can see a difference that the other does not. Anything else is compared by
    the mean of the items' differences (arXiv 2411.00640, section 4.2) or, with denominators, by the difference of the ratios
    of sums: Student's t with the standard error of `estimate_ratio`.

    Args:
        first: The first model's number for each item, (items,).
        second: The second model's, for the same items in the same order.
        denominators: What the sums are divided by, (items,), such as the bytes of each document; by default 1 each.
        clusters: The name of each item's cluster, (items,); by default each item is its own.

    Raises:
        ValueError: The lengths differ, or a denominator is negative.
    """
    first, second = as_floats(first), as_floats(second)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} items of the first model and {len(second)} of the second")
    independent = cluster_codes(clusters, len(first)).max(initial=-1) == len(first) - 1
    if denominators is None and independent and len(first) and np.isin([first, second], (0, 1)).all():
        only_first, only_second = int((first > second).sum()), int((second > first).sum())
        gain = paired_proportions(only_first, only_second, len(first))
        return Comparison(gain, mcnemar(only_first, only_second), "exact McNemar")
    with np.errstate(invalid="ignore", over="ignore"):
        gains = second - first
    estimate = estimate_mean(gains, clusters) if denominators is None else estimate_ratio(gains, denominators, clusters)
    return Comparison(estimate.metric, estimate.p_value, "paired t" if independent else "paired t, clustered")


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p-value of McNemar's exact test: of the items on which two models differ, each is right on half.

    It is twice the binomial probability of so few items on the rarer side, at most 1 (McNemar 1947; the exact conditional
    test of Fagerland, Lydersen and Laake 2013). It rejects a true hypothesis in at most 5% of samples at p <= 0.05, which
    the mid-p variant, of slightly more power, does not promise.

    Args:
        only_first: Items that only the first model has right.
        only_second: Items that only the second has right.

    Raises:
        ValueError: A number is negative.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"a number of items is negative: {min(only_first, only_second)}")
    rarer, differing = min(only_first, only_second), only_first + only_second
    return min(1.0, 2 * binomial_probability(rarer, differing, 0.5))


def paired_proportions(only_first: int, only_second: int, items: int) -> Metric:
    """The difference of two proportions of the same items, (only_second - only_first) / items, with its interval.

    The adjusted Wald interval of Bonett and Price (2012): one item is added to either kind of difference, so there
    is an interval even if the models agree on all items. It is widened by Student's t.

    Raises:
        ValueError: A number is negative, or more items differ than there are.
    """
    if min(only_first, only_second) < 0 or only_first + only_second > items:
        raise ValueError(f"{only_first} and {only_second} of {items} items differ")
    if items < 2:
        return Metric((only_second - only_first) / items if items else nan)
    a, b = (only_first + 1) / (items + 2), (only_second + 1) / (items + 2)
    half = t_quantile(UPPER, items - 1) * sqrt((a + b - (b - a) ** 2) / (items + 2))
    return Metric((only_second - only_first) / items, max(-1.0, b - a - half), min(1.0, b - a + half))


def paired_bootstrap(
    first: ArrayLike, second: ArrayLike, statistic: Statistic, clusters: Clusters = None, seed: int = 0
) -> Comparison:
    """Compare any statistic of two models on the same items, such as F1 or BLEU, computed from numbers of each item.

    The interval is the bootstrap's, with the same items drawn for both (Koehn 2004). The p-value is that of approximate
    randomization (Noreen 1989; Riezler and Maxwell 2005): how often the difference is as large when each item's (or
    cluster's) results are swapped between the models at random.

    Args:
        first: The first model's numbers of each item, (items, ...).
        second: The second model's, of the same shape.
        statistic: As in `bootstrap`.
        clusters: The name of each item's cluster, (items,).
        seed: The same seed gives the same comparison.

    Raises:
        ValueError: The shapes, or the numbers of items and clusters, differ.
    """
    first, second = (np.asarray(results, dtype=np.float64) for results in (first, second))
    if first.shape != second.shape:
        raise ValueError(f"the first model's results have shape {first.shape}, and the second's {second.shape}")
    both = np.stack([first, second], 1)
    gain = bootstrap(both, lambda samples: statistic(samples[:, :, 1]) - statistic(samples[:, :, 0]), clusters, seed)
    if isnan(gain.value):
        return Comparison(gain, None, "randomization")
    rng, codes = np.random.default_rng(seed), cluster_codes(clusters, len(first))
    swaps = rng.integers(2, size=(REPLICATES, int(codes.max()) + 1), dtype=bool)
    samples = max(1, MAX_CHUNK_NUMBERS // first.size)
    with np.errstate(all="ignore"):
        chunks = []
        for start in range(0, REPLICATES, samples):
            swapped = swaps[start : start + samples, codes].reshape(-1, len(codes), *[1] * (first.ndim - 1))
            chunks.append(statistic(np.where(swapped, first, second)) - statistic(np.where(swapped, second, first)))
        gains = np.concatenate(chunks)
    if not np.isfinite(gains).all():
        return Comparison(gain, None, "randomization")
    as_large = int((np.abs(gains) >= abs(gain.value) - ROUNDING * np.abs(gains).max()).sum())
    return Comparison(gain, (1 + as_large) / (1 + REPLICATES), "randomization")


def unpaired_proportions(successes: tuple[int, int], trials: tuple[int, int]) -> Comparison:
    """Compare the proportions of two independent samples: the interval of Newcombe (1998, method 10), the pooled z-test.

    For models on the same items it ignores that both have the same easy and hard ones, and so misses most small gains.

    Raises:
        ValueError: A number of successes is negative or more than its trials.
    """
    first, second = (proportion(s, n) for s, n in zip(successes, trials, strict=True))
    gain = second.value - first.value
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Comparison(Metric(gain), None, "unpaired z")
    low = gain - sqrt((second.value - second.low) ** 2 + (first.high - first.value) ** 2)
    high = gain + sqrt((second.high - second.value) ** 2 + (first.value - first.low) ** 2)
    pooled = sum(successes) / sum(trials)
    error = sqrt(pooled * (1 - pooled) * (1 / trials[0] + 1 / trials[1]))
    p_value = two_sided_p_value(gain / error, np.inf) if error else 1.0
    return Comparison(Metric(gain, low, high), p_value, "unpaired z")


def minimum_detectable_effect(deviation: float, items: int, correlation: float = 0.0, power: float = POWER) -> float:
    """The smallest true difference of two models' means that a test at the 5% level detects with a probability of `power`.

    (t_0.975 + t_power) sqrt(2 (1 - correlation) deviation^2 / items): arXiv 2411.00640, section 5, with the variance of
    paired differences (section 4.2) and Student's t instead of the normal distribution. NaN for fewer than two items.

    Args:
        deviation: The standard deviation of the items' numbers; for accuracy p, sqrt(p (1 - p)). With clusters, it is
            the clustered standard error times sqrt(items).
        items: The items of each model.
        correlation: Of the two models' numbers of the same item; 0 for an unpaired comparison.
        power: The probability of detecting the difference.

    Raises:
        ValueError: `correlation` is outside [-1, 1], or `power` is not between 0.5 and 1.
    """
    if not -1 <= correlation <= 1:
        raise ValueError(f"a correlation of {correlation} is outside [-1, 1]")
    if not 0.5 <= power < 1:
        raise ValueError(f"a power of {power} is not between 0.5 and 1")
    if items < 2:
        return nan
    quantiles = t_quantile(UPPER, items - 1) + t_quantile(power, items - 1)
    return quantiles * deviation * sqrt(2 * (1 - correlation) / items)

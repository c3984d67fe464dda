"""Comparisons of two models."""

from math import isnan, nan, sqrt

import numpy as np
import pytest

from lmcraft.statistics.intervals import Metric, mean_interval
from lmcraft.statistics.paired import (
    compare_paired,
    mcnemar,
    minimum_detectable_effect,
    paired_bootstrap,
    paired_proportions,
    unpaired_proportions,
)

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

ACCURACY, GAIN, CORRELATION, ITEMS = 0.42, 0.03, 0.8, 1000


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        (0, 0, 1),
        (0, 5, 2 / 2**5),
        (1, 9, 2 * (1 + 10) / 2**10),
        (9, 1, 2 * (1 + 10) / 2**10),
        (2, 8, 2 * (1 + 10 + 45) / 2**10),
        (5, 5, 1),
        (4, 5, 1),
        (0, 60, 2 / 2**60),
    ],
)
def test_mcnemar_is_a_binomial_counted_by_hand(only_first: int, only_second: int, p_value: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p_value, rel=1e-9)


def test_mcnemar_never_rejects_too_often() -> None:
    """Models that are equally good, and differ on 5 to 60 items."""
    rng = np.random.default_rng(0)
    for differing in (5, 6, 20, 60):
        drawn = rng.binomial(differing, 0.5, size=5000)
        p_values = {k: mcnemar(k, differing - k) for k in range(differing + 1)}
        assert np.mean([p_values[int(k)] <= 0.05 for k in drawn]) <= 0.06


def planted(rng: np.random.Generator, samples: int, gain: float = GAIN) -> np.ndarray:
    """Numbers of items that only the first, only the second, both and neither have right, (samples, 4)."""
    p, q = ACCURACY, ACCURACY + gain
    both = p * q + CORRELATION * sqrt(p * (1 - p) * q * (1 - q))
    return rng.multinomial(ITEMS, [p - both, q - both, both, 1 - p - q + both], size=samples)


def test_a_planted_gain_is_detected_in_pairs_only() -> None:
    """Accuracies of 0.42 and 0.45, 1,000 items, a correlation of 0.8 (the models differ on a tenth of the items)."""
    paired = unpaired = 0
    for only_first, only_second, both, _ in planted(np.random.default_rng(1), 2000).tolist():
        successes = (only_first + both, only_second + both)
        paired += mcnemar(only_first, only_second) <= 0.05
        unpaired += unpaired_proportions(successes, (ITEMS, ITEMS)).p_value <= 0.05
    assert paired / 2000 >= 0.8
    assert unpaired / 2000 < 0.2  # of its variance a fifth is the paired one's, the rest is shared


def test_the_interval_of_a_gain_covers_it() -> None:
    rng = np.random.default_rng(2)
    for items, only_first, only_second in ((30, 0.05, 0.1), (30, 0.2, 0.2), (100, 0.01, 0.05), (1000, 0.035, 0.065)):
        drawn = rng.multinomial(items, [only_first, only_second, 1 - only_first - only_second], size=2000)
        intervals = [paired_proportions(a, b, items) for a, b, _ in drawn.tolist()]
        gain = only_second - only_first
        assert np.mean([m.low <= gain <= m.high for m in intervals]) > 0.935


def test_models_are_compared_by_what_their_results_are() -> None:
    first, second = [1, 0, 0, 1, 0, 1, 0, 0], [1, 1, 1, 1, 0, 1, 1, 0]
    binary = compare_paired(first, second)
    assert binary.test == "exact McNemar" and binary.p_value == pytest.approx(2 / 2**3) and binary.gain.value == 3 / 8
    assert compare_paired(np.array(first, bool), np.array(second, bool), clusters=range(8)) == binary
    clustered = compare_paired(first, second, clusters=list("aabbccdd"))
    assert clustered.test == "paired t, clustered" and clustered.gain.value == 3 / 8
    losses = compare_paired([1.0, 2.0, 3.0], [1.5, 2.75, 3.25])
    assert losses.test == "paired t" and losses.gain == mean_interval([0.5, 0.75, 0.25])
    bits = compare_paired([10.0, 30.0, 9.0], [9.0, 20.0, 8.5], denominators=[10, 20, 10])
    assert bits.gain.value == pytest.approx(-11.5 / 40)


def test_equal_models_are_not_different() -> None:
    same = compare_paired([0.5, 0.7], [0.5, 0.7])
    assert same.gain == Metric(0.0) and same.p_value == 1
    same = compare_paired([1, 0, 1], [1, 0, 1])
    assert same.p_value == 1 and same.gain.low < 0 < same.gain.high
    same = paired_bootstrap(range(20), range(20), lambda samples: samples.mean(1))
    assert same.gain == Metric(0.0) and same.p_value == 1


@pytest.mark.parametrize(("first", "second"), [([], []), ([nan], [1.0]), ([1.0, 0.0], [nan, 1.0]), ([np.inf], [np.inf])])
def test_nothing_to_compare(first: list[float], second: list[float]) -> None:
    for comparison in (compare_paired(first, second), paired_bootstrap(first, second, lambda samples: samples.mean(1))):
        assert isnan(comparison.gain.value) and comparison.gain.low is None and comparison.p_value is None


def test_few_items() -> None:
    assert compare_paired([0], [1]).gain == Metric(1.0) and compare_paired([0], [1]).p_value == 1
    assert compare_paired([0.2], [0.5]).p_value is None
    assert compare_paired([0.2, 0.3], [0.7, 0.1], clusters=["a", "a"]).gain == Metric(pytest.approx(0.15))
    assert isnan(paired_proportions(0, 0, 0).value)
    nothing = unpaired_proportions((0, 1), (0, 2))
    assert isnan(nothing.gain.value) and nothing.p_value is None
    assert unpaired_proportions((5, 5), (5, 5)).p_value == 1


def test_unpaired_proportions_are_newcombes() -> None:
    comparison = unpaired_proportions((480, 520), (1000, 1000))
    z = 0.04 / sqrt(0.25 * 2 / 1000)
    assert comparison.p_value == pytest.approx(0.0736, abs=1e-4) and z == pytest.approx(1.7889, abs=1e-4)
    assert comparison.gain.low == pytest.approx(-0.0038, abs=2e-4) and comparison.gain.high == pytest.approx(
        0.0836, abs=2e-4
    )


def test_the_paired_bootstrap_agrees_with_the_paired_mean() -> None:
    rng = np.random.default_rng(3)
    first = rng.normal(size=60)
    second = first + rng.normal(0.3, 1, size=60)
    drawn, exact = paired_bootstrap(first, second, lambda samples: samples.mean(1)), compare_paired(first, second)
    assert (drawn.gain.low, drawn.gain.high) == pytest.approx((exact.gain.low, exact.gain.high), abs=0.05)
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.02)
    names = [i // 6 for i in range(60)]
    clustered = paired_bootstrap(first, second, lambda samples: samples.mean(1), names)
    assert clustered.gain.value == drawn.gain.value and clustered.gain.low != drawn.gain.low


def test_the_smallest_effect_that_a_test_detects_is_detected_that_often() -> None:
    effect = minimum_detectable_effect(0.5, ITEMS, CORRELATION)
    assert effect == pytest.approx((1.962 + 0.842) * 0.5 * sqrt(0.4 / ITEMS), rel=1e-3)
    assert minimum_detectable_effect(0.5, ITEMS) == pytest.approx(effect * sqrt(5))
    detectable = planted(np.random.default_rng(4), 2000, minimum_detectable_effect(0.495, ITEMS, CORRELATION)).tolist()
    assert np.mean([mcnemar(a, b) <= 0.05 for a, b, *_ in detectable]) == pytest.approx(0.8, abs=0.05)
    assert isnan(minimum_detectable_effect(0.5, 1)) and minimum_detectable_effect(0.5, 10, 1.0) == 0


def test_what_a_comparison_detects_follows_from_its_interval() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(2, 200))
    deviation = float(np.std(second - first, ddof=1))
    detectable = compare_paired(first, second).detectable
    assert detectable == pytest.approx(minimum_detectable_effect(deviation / sqrt(2), 200), rel=0.01)
    assert compare_paired(second, first).detectable == pytest.approx(detectable)
    assert compare_paired([0] * 50, [0] * 50).detectable < compare_paired([0] * 20, [0] * 20).detectable
    assert isnan(compare_paired([1], [0]).detectable)


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="1 items of the first model and 2 of the second"):
        compare_paired([1], [1, 0])
    with pytest.raises(ValueError, match=r"shape \(1,\), and the second's \(2,\)"):
        paired_bootstrap([1], [1, 0], lambda samples: samples.mean(1))
    with pytest.raises(ValueError, match="negative: -1"):
        mcnemar(3, -1)
    with pytest.raises(ValueError, match="3 and 4 of 6 items differ"):
        paired_proportions(3, 4, 6)
    with pytest.raises(ValueError, match="correlation of 2"):
        minimum_detectable_effect(0.5, 10, 2)
    with pytest.raises(ValueError, match="power of 1"):
        minimum_detectable_effect(0.5, 10, power=1)


def test_the_paired_bootstrap_of_several_numbers_per_item() -> None:
    """F1 of true positives, false positives and false negatives; the second model has the first one's results shuffled."""
    rng = np.random.default_rng(5)
    first = rng.integers(0, 3, size=(50, 3))

    def f1(samples: np.ndarray) -> np.ndarray:
        true, false, missed = samples.sum(1).T
        return 2 * true / (2 * true + false + missed)

    better = paired_bootstrap(first, first + np.array([2, 0, 0]), f1)
    assert better.p_value < 0.001 and 0 < better.gain.low < better.gain.value
    shuffled = paired_bootstrap(first, rng.permutation(first), f1)
    assert shuffled.gain.value == pytest.approx(0) and shuffled.p_value == 1

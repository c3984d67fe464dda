"""Agreement: published examples, parity with the package krippendorff, and data that tell nothing."""

from math import nan

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.statistics.agreement import (
    Level,
    cohen_kappa,
    count_codes,
    count_ratings,
    distinct_rows,
    fleiss_kappa,
    krippendorff_alpha,
    percent_agreement,
    vote_pairs,
)
from lmcraft.statistics.intervals import Metric

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval", "ratio")

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C.
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
    [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
]
# Wikipedia, "Fleiss' kappa", worked example: 10 subjects, 14 raters.
FLEISS = [
    *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
    *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
]
# Fleiss, Levin and Paik (2003), "Statistical Methods for Rates and Proportions", table 18.1: 100 diagnoses by two raters.
DIAGNOSES = np.array([[75, 1, 4], [5, 4, 1], [0, 0, 10]])


def raters_of(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.nonzero(np.ones_like(table))
    return np.repeat(first, table.ravel()), np.repeat(second, table.ravel())


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)])
def test_krippendorffs_example(level: Level, alpha: float) -> None:
    metric = krippendorff_alpha(*count_ratings(KRIPPENDORFF), level)
    assert metric.value == pytest.approx(alpha, abs=5e-4) and metric.low < alpha < metric.high <= 1


def test_an_example_of_fleiss_kappa() -> None:
    metric = fleiss_kappa(FLEISS)
    assert metric.value == pytest.approx(0.210, abs=5e-4) and metric.low < 0.21 < metric.high


def test_an_example_of_cohens_kappa() -> None:
    metric = cohen_kappa(*raters_of(DIAGNOSES), 3)
    assert metric.value == pytest.approx((0.89 - 0.66) / 0.34)  # 0.676
    assert metric.low == pytest.approx(0.676 - 1.96 * 0.087, abs=0.05)  # the book's standard error


def test_weights_of_cohens_kappa() -> None:
    """Of two values there is one distance; else kappa is 1 - sum w p / sum w p_e (Cohen 1968, eq. 3)."""
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 2, (2, 50))
    assert cohen_kappa(a, b, 2) == cohen_kappa(a, b, 2, "linear") == cohen_kappa(a, b, 2, "quadratic")
    first, second = raters_of(DIAGNOSES)
    shares, distance = DIAGNOSES / 100, np.abs(np.subtract.outer(range(3), range(3)))
    for weights, cost in (("linear", distance), ("quadratic", distance**2)):
        expected = 1 - (cost * shares).sum() / (cost * np.outer(shares.sum(1), shares.sum(0))).sum()
        assert cohen_kappa(first, second, 3, weights).value == pytest.approx(expected)


VALUES = {
    "few": st.sampled_from([nan, 1, 2, 3]),
    "whole": st.sampled_from([nan, nan, 0, 1, 2, 5, 9]),
    "signed": st.one_of(st.just(nan), st.integers(-4, 4)),
    "real": st.one_of(st.just(nan), st.floats(-100, 100).map(lambda number: round(number, 3))),
}


@pytest.mark.parametrize("values", VALUES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_alpha_is_the_packages(values: str, data) -> None:
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 12)))
    ratings = np.array(data.draw(st.lists(VALUES[values], min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])))
    ratings = ratings.reshape(shape).astype(float)
    counts, numbers = count_ratings(ratings)
    for level in LEVELS:
        metric = krippendorff_alpha(counts, numbers, level)
        try:
            with np.errstate(all="ignore"):
                expected = krippendorff.alpha(ratings, level_of_measurement=level)
        except ValueError:  # one value only, or no pairs
            expected = nan
        if metric is None:
            # Where rounding decides whether all votes with pairs are equal, the package may differ.
            assert not np.isfinite(expected) or len(set(numbers[counts[counts.sum(1) > 1].any(0)])) < 2
        else:
            assert metric.value == pytest.approx(expected, abs=1e-9)
            assert (metric.low is None) == (metric.high is None)
            assert metric.low is None or metric.low <= metric.high <= 1 + 1e-12


@pytest.mark.parametrize(
    "ratings",
    [
        np.zeros((0, 3)),
        np.zeros((3, 0)),
        [[nan, nan], [nan, nan]],
        [[1, 2, 3]],
        [[1, nan], [nan, 2]],
        [[1, 1, 1], [1, 1, 1]],
        [[1, 1, 2], [1, 1, nan]],
    ],
    ids=["no-raters", "no-items", "no-votes", "one-rater", "no-pairs", "one-value", "one-value-in-pairs"],
)
def test_what_tells_nothing_is_none(ratings) -> None:
    counts, values = count_ratings(ratings)
    assert [krippendorff_alpha(counts, values, level) for level in LEVELS] == [None] * 4
    assert fleiss_kappa(counts) is None
    assert percent_agreement(counts) in (None, Metric(1.0))


def test_numbers_that_overflow_are_none() -> None:
    counts = [[1, 1], [2, 0], [0, 2]]
    assert krippendorff_alpha(counts, [-1e200, 1e200], "interval") is None
    assert krippendorff_alpha(counts, [-1e200, 1e200], "ratio") is None  # the sum is 0, so they do not differ
    assert krippendorff_alpha(counts, [-1e200, 1e200], "ordinal").value == krippendorff_alpha(counts).value


def test_cohens_kappa_of_nothing_is_none() -> None:
    assert cohen_kappa([], [], 0) is None and cohen_kappa([], [], 3) is None
    assert cohen_kappa([0, -1], [-1, 1], 2) is None and cohen_kappa([1] * 9, [1] * 9, 2) is None


def test_a_wrong_call_is_an_error() -> None:
    with pytest.raises(ValueError, match="from 2 to 3 votes"):
        fleiss_kappa([[2, 0], [2, 1]])
    with pytest.raises(ValueError, match="level of measurement 'cardinal'"):
        krippendorff_alpha([[2]], level="cardinal")
    with pytest.raises(ValueError, match="ascend"):
        krippendorff_alpha([[2, 1]], [2.0, 1.0])
    with pytest.raises(ValueError, match="not a matrix"):
        percent_agreement([[-1, 2]])
    with pytest.raises(ValueError, match="not a matrix of finite"):
        count_ratings([[np.inf]])
    with pytest.raises(ValueError, match="outside 0 to 1"):
        cohen_kappa([2], [0], 2)
    with pytest.raises(ValueError, match="weights 'cubic'"):
        cohen_kappa([0], [0], 2, "cubic")
    with pytest.raises(ValueError, match="one length"):
        cohen_kappa([0, 1], [0], 2)


def test_perfect_agreement_and_chance() -> None:
    perfect, _ = count_ratings(np.tile(np.arange(40) % 3, (2, 1)))
    assert krippendorff_alpha(perfect) == fleiss_kappa(perfect) == percent_agreement(perfect) == Metric(1.0)
    votes = np.random.default_rng(2).integers(0, 3, (2, 2000))
    chance = krippendorff_alpha(count_ratings(votes)[0])
    assert chance.low < 0 < chance.high and chance.high - chance.low < 0.1


def test_percent_agreement_counts_pairs() -> None:
    """Three votes of which two agree are three pairs, one equal; two that agree are one."""
    assert percent_agreement([[2, 1], [2, 0], [0, 1]]).value == pytest.approx(2 / 4)


def test_the_interval_covers_alpha() -> None:
    """True alpha of two raters who each copy a fair label with probability 0.8 is 0.64."""
    rng, covered = np.random.default_rng(3), 0
    for _ in range(100):
        truth = rng.integers(0, 2, 150)
        votes = np.where(rng.random((2, 150)) < 0.8, truth, rng.integers(0, 2, (2, 150)))
        metric = krippendorff_alpha(count_ratings(votes)[0])
        covered += metric.low <= 0.64 <= metric.high
    assert covered >= 88


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=20))
def test_pairs_of_votes(items: list[int]) -> None:
    first, second = vote_pairs(items)
    pairs = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(pairs) == len(first)
    assert pairs == {frozenset((i, j)) for i in range(len(items)) for j in range(i) if items[i] == items[j]}


@pytest.mark.parametrize("largest", [3, 2**40])
def test_distinct_rows(largest: int) -> None:
    rows = np.random.default_rng(4).integers(0, 2, (30, 3)) * largest
    distinct, counts, kinds = distinct_rows(rows)
    assert (distinct[kinds] == rows).all() and counts.sum() == 30 and (np.bincount(kinds) == counts).all()


def test_counts_of_votes() -> None:
    assert count_codes([0, 0, 2, 2], [1, 1, 0, 2], 3, 3).tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 1]]

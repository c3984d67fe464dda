"""Many comparisons."""

from math import nan

import numpy as np
import pytest

from lmcraft.statistics.multiple import adjusted_p_values, tied_sets, tied_with
from lmcraft.statistics.paired import compare_paired

# Benjamini and Hochberg (1995), section 3.2.
EXAMPLE = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.000),
]


def test_the_papers_example() -> None:
    """The paper rejects the four smallest of 15 at 0.05, where Bonferroni's rule rejects three."""
    adjusted = adjusted_p_values(EXAMPLE)
    assert [p <= 0.05 for p in adjusted] == [True] * 4 + [False] * 11
    assert adjusted[:4] == pytest.approx([0.0015, 0.003, 0.0095, 0.035625])
    assert adjusted[4:7] == pytest.approx([0.0298 * 15 / 7 if i else 0.0603 for i in range(3)])
    order = np.random.default_rng(0).permutation(15)
    assert adjusted_p_values([EXAMPLE[i] for i in order]) == [adjusted[i] for i in order]


def test_comparisons_without_a_p_value_do_not_count() -> None:
    assert adjusted_p_values([0.01, None, 0.04, nan]) == [0.02, None, 0.04, None]
    assert adjusted_p_values([]) == [] and adjusted_p_values([None]) == [None]
    with pytest.raises(ValueError, match=r"p-value of 1\.5"):
        adjusted_p_values([0.1, 1.5])


def test_false_discoveries_stay_rare() -> None:
    """Of 20 tasks without any difference, at most 5% of samples report one; unadjusted two thirds do."""
    p_values = np.random.default_rng(1).random((1000, 20))
    assert np.mean([min(adjusted_p_values(row)) <= 0.05 for row in p_values.tolist()]) < 0.07
    assert np.mean(p_values.min(1) <= 0.05) > 0.6


def test_models_that_cannot_be_told_apart_are_tied() -> None:
    rng = np.random.default_rng(2)
    ease = rng.normal(size=500)
    results = {name: (ease + rng.normal(0, 0.3, size=500) > bar) for name, bar in (("a", 0.0), ("b", 0.01), ("c", 0.6))}
    assert tied_with(results, compare_paired) == {"a": ["b"], "b": ["a"], "c": []}
    assert tied_with({"a": [1.0], "b": [0.5], "c": [nan]}, compare_paired) == {
        "a": ["b", "c"],
        "b": ["a", "c"],
        "c": ["a", "b"],
    }
    assert tied_with({"a": [1]}, compare_paired) == {"a": []} and tied_with({}, compare_paired) == {}


def test_ties_need_not_be_transitive() -> None:
    p_values = {("a", "b"): 0.2, ("c", "b"): None, ("a", "c"): 0.01}
    assert tied_sets(["c", "b", "a"], p_values) == {"c": ["b"], "b": ["c", "a"], "a": ["b"]}

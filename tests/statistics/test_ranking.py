import numpy as np
import pytest

from lmcraft.statistics.ranking import roc_area, true_positive_rate


def test_roc_area_is_the_share_of_pairs_in_order():
    assert roc_area([3, 2], [1, 2]).value == 7 / 8  # one of four pairs is a tie


def test_roc_area_of_scores_without_information_is_near_a_half():
    rng = np.random.default_rng(1)
    area = roc_area(rng.normal(size=200), rng.normal(size=300))
    assert area.low < 0.5 < area.high
    assert area.high - area.low == pytest.approx(0.104, abs=0.01)  # 3.92 sqrt((1 / 200 + 1 / 300) / 12)


def test_roc_area_of_separate_groups_has_an_interval():
    area = roc_area([2, 3, 4], [-1, 0, 1])
    assert (area.value, area.high) == (1, 1)
    assert 0.1 < area.low < 0.9


@pytest.mark.parametrize("groups", [([], [1.0]), ([1.0], []), ([float("nan")], [1.0])])
def test_roc_area_without_scores_is_no_number(groups):
    assert np.isnan(roc_area(*groups).value)


def test_true_positive_rate_counts_what_exceeds_the_threshold():
    negatives = np.arange(200.0)
    rate = true_positive_rate([197.5, 198.0, 500.0, 0.0] * 10, negatives)  # two of 200 negatives may exceed it: 197
    assert rate.value == 0.75
    assert rate.low < 0.75 < rate.high


def test_true_positive_rate_with_few_negatives_allows_none_above():
    assert true_positive_rate([9.0, 10.0, 11.0, 12.0], [10.0, 1.0]).value == 0.5

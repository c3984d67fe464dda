import numpy as np

from lmcraft.runs.series import Series


def series_of(steps: range) -> Series:
    values = np.sin(np.array(steps, np.float64))
    return Series(np.array(steps, np.int64), values, values, values)


def test_a_short_series_stays_exact() -> None:
    series = series_of(range(1, 101))
    assert series.downsampled(100) is series


def test_buckets_have_the_lowest_highest_and_mean_values_at_the_last_step() -> None:
    series = series_of(range(1, 101))
    buckets = series.downsampled(10)
    assert buckets.steps.tolist() == [*range(10, 101, 10)]
    parts = series.mean.reshape(10, 10)
    assert np.array_equal(buckets.low, parts.min(1)) and np.array_equal(buckets.high, parts.max(1))
    assert np.allclose(buckets.mean, parts.mean(1))


def test_no_extreme_value_is_lost_and_there_are_no_more_points_than_asked_for() -> None:
    for count, points in ((1001, 1000), (12_345, 1000), (7, 3), (5, 1)):
        series = series_of(range(3, 3 + 7 * count, 7))
        buckets = series.downsampled(points)
        assert len(buckets.steps) <= points
        assert buckets.high.max() == series.high.max() and buckets.low.min() == series.low.min()
        assert buckets.steps[-1] == series.steps[-1]


def test_a_part_has_both_of_its_ends() -> None:
    assert series_of(range(10, 20)).between(12, 14).steps.tolist() == [12, 13, 14]
    assert series_of(range(10, 20)).between(None, 11).steps.tolist() == [10, 11]
    assert series_of(range(10, 20)).between(50, None).as_json() == {"steps": [], "low": [], "high": [], "mean": []}

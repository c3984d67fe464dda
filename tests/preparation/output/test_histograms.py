"""Histograms have fixed bins, so that those of all units add up."""

from math import inf

import pytest

from lmcraft.preparation.contracts import DocumentId, Measurement, Record, Tally
from lmcraft.preparation.output.histograms import (
    NUM_DECADES,
    SAMPLED,
    count_length,
    count_measures,
    count_value,
    edges,
    is_sampled,
    nonempty,
)


@pytest.mark.parametrize("threshold", [0.3, 50.0, None])
@pytest.mark.parametrize("value", [0.0, 0.001, 0.3, 0.999, 1.0, 7, 50, 1000, 1e8])
def test_a_value_is_in_its_bin(value: float, threshold: float | None) -> None:
    tally = Tally()
    count_value(tally, "quality", Measurement("web.en", "measure", value, threshold))
    [(name, bins)] = tally.histograms.items()
    assert name == f"quality/web.en/measure/{'' if threshold is None else f'{threshold:g}'}"
    [(low, high, count)] = nonempty(bins)
    assert count == 1
    assert len(edges(bins)) == len(bins) + 1
    if threshold == 0.3:
        assert low <= min(value, 1.0) <= high
    elif value >= 0.001:
        assert low <= value * (1 + 1e-9)
        assert value < high


@pytest.mark.parametrize("value", [-1.0, inf, 1e300])
def test_values_beyond_the_bins_are_in_the_outer_ones(value: float) -> None:
    tally = Tally()
    count_value(tally, "s", Measurement("", "m", value, None))
    [bins] = tally.histograms.values()
    assert bins[-1 if value > 0 else 0] == 1
    assert edges(bins)[-1] == pytest.approx(10 ** (NUM_DECADES - 3))


def make_record(number: int) -> Record:
    return Record(DocumentId(number % 3, number // 100, number * 117, number % 2), "x" * 100, "a.txt", 1, "en")


def test_the_share_of_the_sample() -> None:
    count = sum(is_sampled(make_record(number)) for number in range(20_000))
    assert count == pytest.approx(20_000 / SAMPLED, rel=0.15)


def test_stages_with_measures_are_counted() -> None:
    class Stage:
        def measures(self, record: Record) -> list[Measurement]:
            return [Measurement("en", "length", len(record.text), 50.0)]

    tally = Tally()
    for number in range(1000):
        count_measures(tally, "mine", Stage(), make_record(number))  # type: ignore[arg-type]
        count_measures(tally, "other", object(), make_record(number))  # type: ignore[arg-type]
        count_length(tally, "read", make_record(number))
    assert set(tally.histograms) == {"mine/en/length/50", "read/en/characters/"}
    assert sum(tally.histograms["read/en/characters/"]) == 1000
    assert sum(tally.histograms["mine/en/length/50"]) == sum(is_sampled(make_record(number)) for number in range(1000))

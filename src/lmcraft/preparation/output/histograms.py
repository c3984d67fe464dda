"""Histograms of documents: their length, and what stages measure of them. Their bins are fixed, so that they add up.

The name of a histogram says what it counts: `STAGE/GROUP/MEASURE/THRESHOLD`, where a group is a profile of rules or a
language, and the threshold is empty if there is none. Shares have 50 bins from 0 to 1, other numbers 8 per factor of ten.
"""

from collections.abc import Iterator
from math import floor, log10
from typing import Any

from lmcraft.preparation.contracts import Measurement, Record, Stage, Tally

SHARE_BINS = 50
BINS_PER_DECADE, FIRST_DECADE, NUM_DECADES = 8, -3, 12
SAMPLED = 64  # one of so many documents is measured by all rules of a stage
LENGTH = "characters"


def count_value(tally: Tally, stage: str, measured: Measurement) -> None:
    """Add a measurement to its histogram."""
    threshold = "" if measured.threshold is None else f"{measured.threshold:g}"
    name = f"{stage}/{measured.group}/{measured.measure}/{threshold}"
    is_share = measured.threshold is not None and 0 < measured.threshold <= 1
    bins = tally.histograms.setdefault(name, [0] * (SHARE_BINS if is_share else NUM_DECADES * BINS_PER_DECADE))
    bins[_share_bin(measured.value) if is_share else _number_bin(measured.value)] += 1


def count_length(tally: Tally, step: str, record: Record) -> None:
    """Add a document's length, in characters."""
    count_value(tally, step, Measurement(record.language, LENGTH, len(record.text), None))


def count_measures(tally: Tally, name: str, stage: Stage, record: Record) -> None:
    """Add what a stage measures of a document, if it has `measures`, and the document is one of a sample."""
    measures: Any = getattr(stage, "measures", None)
    if measures is not None and is_sampled(record):
        for measured in measures(record):
            count_value(tally, name, measured)


def is_sampled(record: Record) -> bool:
    """Whether all rules measure a document, which takes longer than to find the first that it fails."""
    source, file, position, piece = record.id
    return (((position * 31 + piece) * 31 + file) * 31 + source) * 0x9E3779B97F4A7C15 % 2**64 < 2**64 // SAMPLED


def edges(bins: list[int]) -> list[float]:
    """The lower edges of a histogram's bins, and the upper one of the last."""
    if len(bins) == SHARE_BINS:
        return [n / SHARE_BINS for n in range(SHARE_BINS + 1)]
    return [10 ** (FIRST_DECADE + n / BINS_PER_DECADE) for n in range(len(bins) + 1)]


def nonempty(bins: list[int]) -> Iterator[tuple[float, float, int]]:
    """The bins from the first to the last that is not empty: lower edge, upper edge, count."""
    filled = [n for n, count in enumerate(bins) if count]
    borders = edges(bins)
    for n in range(filled[0], filled[-1] + 1) if filled else ():
        yield borders[n], borders[n + 1], bins[n]


def _share_bin(value: float) -> int:
    return min(max(int(value * SHARE_BINS), 0), SHARE_BINS - 1)


def _number_bin(value: float) -> int:
    if not value > 0:
        return 0
    position = (min(log10(value), 99.0) - FIRST_DECADE) * BINS_PER_DECADE
    return min(max(floor(position + 1e-9), 0), NUM_DECADES * BINS_PER_DECADE - 1)

"""Calibration: errors of known sizes are found, and a temperature is recovered."""

import numpy as np
import pytest

from lmcraft.statistics.calibration import brier_scores, calibration_error, fit_temperature, reliability_bins

RNG = np.random.default_rng(0)


def test_brier_scores() -> None:
    assert brier_scores([[1, 0], [0, 1], [0.5, 0.5], [0.2, 0.3, 0.5]], [0, 0, 1, 2]) == pytest.approx([0, 2, 0.5, 0.38])


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.3])
def test_the_error_is_the_gap_between_confidence_and_accuracy(gap: float) -> None:
    confidences = RNG.uniform(0.4, 1, 5000)
    correct = RNG.uniform(size=5000) < confidences - gap
    metric = calibration_error(confidences, correct)
    assert metric.value == pytest.approx(gap, abs=0.03)
    assert metric.low is not None
    assert metric.low <= metric.value


def test_by_hand() -> None:
    confidences, correct = [0.9, 0.6, 0.6, 0.8], [1, 0, 1, 1]
    assert calibration_error(confidences, correct).value == pytest.approx((0.6 + 0.4 + 0.2 + 0.1) / 4)
    [first, *_, last] = reliability_bins(confidences, correct)
    assert (first.confidence, first.accuracy.value, last.confidence, last.accuracy.value) == (0.6, 0.0, 0.9, 1.0)


def test_many_items_are_split_evenly() -> None:
    bins = reliability_bins(RNG.uniform(size=95), np.ones(95))
    assert sorted(entry.count for entry in bins) == [9] * 5 + [10] * 5
    assert [entry.confidence for entry in bins] == sorted(entry.confidence for entry in bins)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_is_recovered(temperature: float) -> None:
    logits = RNG.normal(size=(4000, 4)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    gold = [int(RNG.choice(4, p=row)) for row in probabilities]
    assert fit_temperature((logits * temperature).tolist(), gold) == pytest.approx(temperature, rel=0.1)


def test_odd_inputs() -> None:
    assert fit_temperature([], []) == 1.0
    assert fit_temperature([[0.0, -1.0], [0.0, -2.0, -3.0]], [0, 0]) == pytest.approx(0.05, rel=0.01)  # always right
    assert fit_temperature([[0.0, -1.0]], [1]) == pytest.approx(20, rel=0.01)  # always wrong
    assert np.isnan(calibration_error([], []).value)
    assert reliability_bins([], []) == []

"""Fits the temperature of a classifier on its results, and measures what it changes on items that it was not fitted on."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from lmcraft.errors import UserError
from lmcraft.evaluation.results import ItemResult
from lmcraft.statistics.calibration import calibration_error, fit_temperature

FOLDS = 5
MIN_ITEMS = 20
MIN_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Calibration:
    """A temperature, and the calibration error before and after."""

    temperature: float
    """Fitted on all items; multiplies the one that the probabilities have already."""
    before: float
    after: float
    """Each part of the items with the temperature that the others give."""
    confidences: Sequence[float] = ()
    """Of the chosen labels, by those temperatures."""
    correct: Sequence[float] = ()
    """1 for each item whose label is right, else 0."""

    def threshold(self, accuracy: float) -> float:
        """The least confidence from which on at least this share of the labels is right; 1 if there is none."""
        right, lowest = 0.0, 1.0
        ranked = sorted(zip(self.confidences, self.correct, strict=True), reverse=True)
        for count, (confidence, is_right) in enumerate(ranked, start=1):
            right += is_right
            if right / count >= accuracy:
                lowest = confidence
        return lowest


def calibrate(items: Sequence[ItemResult]) -> Calibration:
    """Fit a temperature on the results of classification tasks.

    Raises:
        UserError: there are too few items.
    """
    if len(items) < MIN_ITEMS:
        raise UserError(f"{len(items)} items are too few to fit a temperature: give at least {MIN_ITEMS}, with more --tasks")
    logs = [[log(max(p, MIN_PROBABILITY)) for p in item.details["probabilities"]] for item in items]
    gold = [item.details["gold"] for item in items]
    confidences = [0.0] * len(items)
    for fold in range(FOLDS):
        others = [n for n in range(len(items)) if n % FOLDS != fold]
        temperature = fit_temperature([logs[n] for n in others], [gold[n] for n in others])
        for n in range(fold, len(items), FOLDS):
            confidences[n] = _confidence(logs[n], temperature)
    correct = [item.values["acc"] for item in items]
    before = calibration_error([item.values["ece"] for item in items], correct).value
    after = calibration_error(confidences, correct).value
    return Calibration(fit_temperature(logs, gold), before, after, confidences, correct)


def _confidence(logs: Sequence[float], temperature: float) -> float:
    """The largest probability after dividing the logs by a temperature."""
    largest = max(logs)
    return 1 / sum(exp((value - largest) / temperature) for value in logs)

"""A linear classifier from labeled texts: fitted, calibrated on texts that it has not seen, and measured on them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmcraft.errors import UserError
from lmcraft.moderation.categories import CATEGORIES
from lmcraft.moderation.classifier.features import extract
from lmcraft.moderation.classifier.linear import Floats, LinearClassifier
from lmcraft.moderation.classifier.rows import LabeledText
from lmcraft.moderation.classifier.training import (
    CATEGORY_BITS,
    CATEGORY_FIT,
    HARM_BITS,
    HARM_FIT,
    Segments,
    fit_logistic,
    quantize,
)
from lmcraft.statistics.intervals import Metric
from lmcraft.statistics.proportions import proportion
from lmcraft.statistics.ranking import average_precision

MIN_ROWS = 10  # harmful, harmless, and of a category
THRESHOLDS = (0.5, 0.7, 0.9)
CALIBRATION_STEPS = 50

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Built:
    """A classifier and what was measured on the texts that were held out for validation."""

    classifier: LinearClassifier
    average_precision: dict[str, Metric]
    """Of harm, and of each category among all texts."""
    recalls: dict[float, Metric]
    """By threshold: the share of harmful texts whose probability of harm reaches it."""
    false_alarms: dict[float, Metric]
    """By threshold: the share of harmless texts whose probability of harm reaches it."""
    texts: int
    validation_texts: int


def build_classifier(
    rows: Sequence[LabeledText], *, validation: float, harmful_share: float, seed: int, report: Report
) -> Built:
    """Train a classifier.

    Args:
        rows: what it learns from.
        validation: the share of texts that are held out, by a hash of the text.
        harmful_share: the share of harmful texts that probabilities are calibrated for.
        seed: of the split and of the order of training.
        report: shows progress, in thousandths.

    Raises:
        UserError: there are too few harmful or harmless rows, or rows of a category.
    """
    held = np.array([_draw(row.text, seed) < validation for row in rows])
    training = [row for row, out in zip(rows, held, strict=True) if not out]
    validating = [row for row, out in zip(rows, held, strict=True) if out]
    _check(training, "training")
    _check(validating, "validation", categories=False)
    segments = Segments.of([row.text for row in training], _part(report, 0.0, 0.3))
    weights, scale, bias = _fit_harm(training, segments, seed, _part(report, 0.3, 0.7))
    categories = tuple(name for name in CATEGORIES if any(name in row.categories for row in training))
    tables = _fit_categories(training, segments, categories, seed, _part(report, 0.7, 0.9))
    classifier = LinearClassifier(weights, tables[0], categories, (scale,) * 2, (bias,) * 2, *tables[1:])
    classifier = _calibrate(classifier, validating, harmful_share)
    return _measure(classifier, training, validating, _part(report, 0.9, 1.0))


def _draw(text: str, seed: int) -> float:
    return int.from_bytes(sha256(f"{seed} {text}".encode("utf-8", "surrogatepass")).digest()[:8]) / 2**64


def _part(report: Report, first: float, last: float) -> Report:
    """Progress of a part of the work, as thousandths of the whole."""
    return lambda done, total: report(round(1000 * (first + (last - first) * done / max(1, total))), 1000)


def _check(rows: Sequence[LabeledText], split: str, *, categories: bool = True) -> None:
    counts = Counter("harmful" if row.harmful else "harmless" for row in rows)
    for name in ("harmful", "harmless"):
        if counts[name] < MIN_ROWS:
            raise UserError(f"the {split} rows have too few {name} texts ({counts[name]}): give at least {MIN_ROWS}")
    named = Counter(name for row in rows for name in row.categories)
    if categories and not named:
        raise UserError("no row names a category: say what a label means, such as --labels.toxic harassment")
    for name, count in named.items():
        if categories and count < MIN_ROWS:
            raise UserError(
                f"the {split} rows have too few texts of {name} ({count}): give {MIN_ROWS}, or map the label to harmful"
            )


def _fit_harm(
    rows: Sequence[LabeledText], segments: Segments, seed: int, report: Report
) -> tuple[NDArray[np.int8], float, float]:
    harmful = np.array([row.harmful for row in rows], dtype=float)
    parts = np.bincount(segments.texts, minlength=len(rows))
    shares = 1 / np.sqrt(parts[segments.texts])  # a long text counts more than a short one, but not by its length
    weights, bias = fit_logistic(segments, harmful[segments.texts], shares, HARM_BITS, HARM_FIT, seed, report)
    return (*quantize(weights), bias)


def _fit_categories(
    rows: Sequence[LabeledText], segments: Segments, categories: Sequence[str], seed: int, report: Report
) -> tuple[NDArray[np.int8], tuple[float, ...], tuple[float, ...]]:
    """One table per category, from the harmful texts whose categories are known."""
    chosen = segments.select(np.array([bool(row.categories) for row in rows])[segments.texts])
    tables, scales, biases = [], [], []
    for number, name in enumerate(categories):
        targets = np.array([name in row.categories for row in rows], dtype=float)[chosen.texts]
        part = _part(report, number / len(categories), (number + 1) / len(categories))
        weights, bias = fit_logistic(chosen, targets, np.ones(len(chosen)), CATEGORY_BITS, CATEGORY_FIT, seed, part)
        table, scale = quantize(weights)
        tables.append(table)
        scales.append(scale)
        biases.append(bias)
    return np.stack(tables, axis=1), tuple(scales), tuple(biases)


def _calibrate(classifier: LinearClassifier, rows: Sequence[LabeledText], harmful_share: float) -> LinearClassifier:
    """Scale and shift the logits of harm so that they are right (Platt 1999) where this share of texts is harmful.

    Texts of ideographs are calibrated apart if there are enough of them.
    """
    logits = np.array([classifier.harm_logit(row.text) for row in rows])
    targets = np.array([row.harmful for row in rows], dtype=float)
    kinds = np.array([max((int(block.ideographic.max()) for block in extract(row.text)), default=0) for row in rows])
    scales, biases = [], []
    for kind in (0, 1):
        chosen = kinds == kind
        if min(targets[chosen].sum(), (1 - targets[chosen]).sum()) < MIN_ROWS:
            chosen = np.ones(len(rows), dtype=bool)
        factor, shift = fit_sigmoid(logits[chosen], targets[chosen])
        share = targets[chosen].mean()
        shift += np.log(harmful_share / (1 - harmful_share)) - np.log(share / (1 - share))
        scales.append(float(classifier.harm_scales[kind] * factor))
        biases.append(float(classifier.harm_biases[kind] * factor + shift))
    return replace(classifier, harm_scales=tuple(scales), harm_biases=tuple(biases))


def fit_sigmoid(logits: Floats, targets: Floats) -> tuple[float, float]:
    """Factor and shift of logits that make targets most likely, by Newton's method; targets as Platt softens them."""
    positives, negatives = targets.sum(), len(targets) - targets.sum()
    soft = np.where(targets > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.column_stack([logits, np.ones(len(logits))])
    values = np.array([1.0, 0.0])
    for _ in range(CALIBRATION_STEPS):
        probabilities = 1 / (1 + np.exp(-np.clip(design @ values, -30, 30)))
        curvature = (design * (probabilities * (1 - probabilities))[:, None]).T @ design + 1e-6 * np.eye(2)
        values -= np.linalg.solve(curvature, design.T @ (probabilities - soft))
    return float(values[0]), float(values[1])


def _measure(
    classifier: LinearClassifier, training: Sequence[LabeledText], rows: Sequence[LabeledText], report: Report
) -> Built:
    harms, scores = np.zeros(len(rows)), np.zeros((len(rows), len(classifier.categories)))
    for number, row in enumerate(rows):
        harms[number] = classifier.harm(row.text)
        for score in classifier.scores(row.text):
            scores[number] = np.maximum(scores[number], list(score.categories.values()))
        report(number + 1, len(rows))
    harmful = np.array([row.harmful for row in rows])
    has_categories = np.array([not row.harmful or bool(row.categories) for row in rows])
    precisions = {"harm": average_precision(harms, harmful)}
    for number, name in enumerate(classifier.categories):
        has = np.array([name in row.categories for row in rows])
        precisions[name] = average_precision(scores[has_categories, number], has[has_categories])
    recalls = {t: proportion(int((harms[harmful] >= t).sum()), int(harmful.sum())) for t in THRESHOLDS}
    alarms = {t: proportion(int((harms[~harmful] >= t).sum()), int((~harmful).sum())) for t in THRESHOLDS}
    measurements: dict[str, Any] = {
        "rows": len(training),
        "validation_rows": len(rows),
        "average_precision": {name: round(metric.value, 4) for name, metric in precisions.items()},
    }
    return Built(replace(classifier, measurements=measurements), precisions, recalls, alarms, len(training), len(rows))

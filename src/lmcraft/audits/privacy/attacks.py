"""The attacks on final weights, as figures and bounds."""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import get_args

import numpy as np

from lmcraft.audits.privacy.exposure import CanaryScores, ExposureLevel, exposure_by_repetitions
from lmcraft.audits.privacy.extraction import SAMPLES, measure_extraction
from lmcraft.audits.privacy.membership import Attack, TokenScores, attack_scores, auc_with_interval, true_positive_rate
from lmcraft.audits.privacy.one_run import audit_one_run
from lmcraft.audits.privacy.results import Attacked, EpsilonBound, PrivacyFigure, Statement
from lmcraft.data.canaries import Canaries
from lmcraft.statistics.intervals import Floats, Metric

FALSE_POSITIVE_RATE = 0.01
EXTRACTION_NAMES = {"greedy": "extracted by greedy decoding", "sampled": f"extracted by the best of {SAMPLES} samples"}
AREA, RATE = "area under the ROC curve", "true positives at 1% false positives"
ATTACK_TITLES = {
    "loss": Statement("loss"),
    "zlib": Statement("loss / compressed size"),
    "min-k": Statement("Min-K%"),
    "min-k++": Statement("Min-K%++"),
}


def membership_figures(
    members: Sequence[TokenScores], others: Sequence[TokenScores], texts: Callable[[bool], Sequence[str]]
) -> list[PrivacyFigure]:
    """How well each attack tells documents that training read from others.

    Args:
        members: scores of the former.
        others: scores of the latter.
        texts: of the members (True) or the others.
    """
    figures = []
    for attack in get_args(Attack):
        scores = [
            attack_scores(group, attack, texts(is_member) if attack == "zlib" else ())
            for group, is_member in ((members, True), (others, False))
        ]
        figures += separation_figures("membership", ATTACK_TITLES[attack], *scores)
    return figures


def separation_figures(kind: Attacked, title: Statement, positives: Floats, negatives: Floats) -> list[PrivacyFigure]:
    """How far scores tell two groups apart."""
    positives, negatives = (scores[np.isfinite(scores)] for scores in (positives, negatives))
    count = len(positives) + len(negatives)
    area, rate = auc_with_interval(positives, negatives), true_positive_rate(positives, negatives, FALSE_POSITIVE_RATE)
    metrics: list[tuple[str, Metric, float]] = [(AREA, area, 0.5), (RATE, rate, FALSE_POSITIVE_RATE)]
    return [
        PrivacyFigure(kind, name, title, metric, count, chance) for name, metric, chance in metrics if isfinite(metric.value)
    ]


def extraction_figures(members: Sequence[TokenScores], others: Sequence[TokenScores], tokens: int) -> list[PrivacyFigure]:
    """How many documents a model writes on verbatim, beside documents that it cannot know."""
    verbatim, baseline = measure_extraction(members, tokens), measure_extraction(others, tokens)
    if not verbatim.count:
        return []
    figures = []
    for kind, name in EXTRACTION_NAMES.items():
        for group, extraction in (("training documents", verbatim), ("other documents", baseline)):
            metric: Metric = getattr(extraction, kind)
            title = Statement(f"{group}, {{tokens}} tokens", {"tokens": tokens})
            if isfinite(metric.value):
                figures.append(PrivacyFigure("extraction", name, title, metric, extraction.count))
    return figures


def canary_figures(canaries: Canaries, scores: CanaryScores, times: Sequence[int] | None) -> list[PrivacyFigure]:
    """The exposure of canaries by how often training read them, and how well their coins can be told.

    Args:
        canaries: of the run.
        scores: of their secrets.
        times: how often training read each; None: it drew the included ones at random.
    """
    included = np.array([item.included for item in canaries.items])
    counts = [item.included * item.repetitions for item in canaries.items] if times is None else times
    figures = []
    for level in exposure_by_repetitions(scores, counts):
        title = _describe_level(level) if times else Statement("in the data" if level.last else "not in the data")
        figures.append(PrivacyFigure("exposure", "exposure in bits", title, level.exposure, level.count, scores.by_chance))
    if included.any() and not included.all():
        figures += separation_figures("canaries", Statement("secrets"), scores.scores[included], scores.scores[~included])
    return figures


def _describe_level(level: ExposureLevel) -> Statement:
    if level.last <= 1:
        return Statement("read once" if level.last else "not read")
    return Statement("read {first} to {last} times", {"first": level.first, "last": level.last})


def canary_bounds(
    canaries: Canaries, scores: Floats, delta: float, confidence: float, suffix: str = ""
) -> list[EpsilonBound]:
    """Lower bounds on epsilon from the coins of canaries, by an attacker who sees the final weights.

    Args:
        canaries: of the run.
        scores: that do not depend on the coins other than through the weights.
        delta: of the guarantee.
        confidence: of both bounds together.
        suffix: of the methods' names.
    """
    included = [item.included for item in canaries.items]
    bounds = []
    for method, gaussian in (("one run", False), ("one run, Gaussian", True)):
        bound = audit_one_run(scores, included, delta, gaussian=gaussian, confidence=(1 + confidence) / 2)
        guesses = bound.guesses
        detail = Statement(
            "{right} of {guesses} coins guessed right, {canaries} canaries",
            {"right": guesses.right, "guesses": guesses.count, "canaries": guesses.canaries},
        )
        bounds.append(EpsilonBound("final weights", method + suffix, bound.epsilon, detail))
    return bounds

"""How reliable each rater is, and which label each item probably has, when nobody knows the right labels.

Dawid and Skene (1979): an item has one true label; each rater has a confusion matrix, the probabilities of the labels that
they choose for items of each true label; votes are independent otherwise. EM estimates both. So a vote of a reliable rater
counts for more than one of an unreliable rater, which a majority vote ignores.
"""

from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import ArrayLike

from lmcraft.statistics.agreement import MISSING, Codes, distinct_rows
from lmcraft.statistics.distributions import t_quantile
from lmcraft.statistics.intervals import UPPER, Floats, Metric
from lmcraft.statistics.proportions import wilson

MAX_ITERATIONS = 200
TOLERANCE = 1e-5
SHRINKAGE = 2.0  # pseudo-votes for each true label of a rater, distributed as all raters' votes are
GROUPS = 20  # of items, left out one after another for the standard error
MIN_RATERS = 3  # two votes that differ do not tell which of two raters erred
MIN_VOTES = 8


@dataclass(frozen=True)
class DawidSkene:
    """The estimates for `items` of K labels and their raters."""

    posterior: Floats
    """The probability of each label, (items, K); the prior for an item without votes."""
    prior: Floats
    """The share of each label, (K,)."""
    confusion: Floats
    """The probability of each label that a rater chooses, by the true label, (raters, true K, chosen K)."""
    accuracy: list[Metric | None]
    """Each rater's share of right labels for items as common as all items are; None if the votes do not tell it."""
    iterations: int


@dataclass(frozen=True)
class _Kinds:
    """The distinct sets of votes on an item."""

    items: Codes
    """How many items are of each kind, (kinds,)."""
    truth: Codes
    """The known label of each kind, or MISSING, (kinds,)."""
    votes: Codes
    """rater * K + label of every vote of every kind, one kind after another, (votes,)."""
    kind: Codes
    """The kind of each of these votes, (votes,)."""
    starts: Codes
    """Where the votes of each kind begin, (kinds,)."""
    of_item: Codes
    """The kind of each item, or MISSING without votes, (items,)."""
    num_raters: int
    num_labels: int


@dataclass(frozen=True)
class _Fit:
    posterior: Floats
    prior: Floats
    confusion: Floats
    iterations: int

    @property
    def accuracy(self) -> Floats:
        """(raters,)"""
        accuracy: Floats = np.einsum("k,rkk->r", self.prior, self.confusion)
        return accuracy


def dawid_skene(
    items: ArrayLike,
    raters: ArrayLike,
    labels: ArrayLike,
    *,
    num_items: int,
    num_raters: int,
    num_labels: int,
    true_labels: ArrayLike | None = None,
) -> DawidSkene:
    """Estimate the raters' confusion matrices and the items' labels by EM (Dawid and Skene 1979, eqs. 2.3 to 2.5).

    A rater's row of the confusion matrix is shrunk towards that of all raters by 2 pseudo-votes, so a rater with one vote is
    neither perfect nor useless. EM starts from the shares of the votes; a few pseudo-votes of all raters together favor the
    right label, so labels do not swap.

    The accuracy's interval is Student's t on the logit scale, with the standard error from leaving out 20 groups of items in
    turn (the delete-a-group jackknife; Kott 2001), and never narrower than if the right labels of the rater's items were
    known. There is no accuracy for a rater with fewer than 8 votes on items that another rater judged or whose label is
    known, and for fewer than three such raters without known labels. With two votes per item the share of each label is not
    identified, but the accuracies nearly are.

    Args:
        items: The number of each vote's item, from 0 on, (votes,).
        raters: The number of each vote's rater, (votes,).
        labels: The number of each vote's label, (votes,).
        num_items: How many items there are.
        num_raters: How many raters.
        num_labels: How many labels.
        true_labels: The label of each item that is known, and -1 for the others, (items,).

    Raises:
        ValueError: The lengths differ, or a number is out of range.
    """
    votes = [np.asarray(numbers, dtype=np.int64) for numbers in (items, raters, labels)]
    truth = np.full(num_items, MISSING) if true_labels is None else np.asarray(true_labels, dtype=np.int64)
    for numbers, limit, least in zip(
        (*votes, truth), (num_items, num_raters, num_labels, num_labels), (0, 0, 0, -1), strict=True
    ):
        if len(numbers) != (num_items if numbers is truth else len(votes[0])):
            raise ValueError("items, raters and labels of votes, or known labels of items, differ in number")
        if len(numbers) and not least <= numbers.min() <= numbers.max() < limit:
            raise ValueError(f"a number of an item, rater or label is outside {least} to {limit - 1}")
    kinds = _kinds(votes[0], votes[1] * num_labels + votes[2], truth, num_raters, num_labels)
    fit = _fit(kinds, kinds.items, None)
    posterior = np.tile(fit.prior, (num_items, 1))
    judged = kinds.of_item != MISSING
    posterior[judged] = fit.posterior[kinds.of_item[judged]]
    posterior[truth != MISSING] = np.eye(num_labels)[truth[truth != MISSING]]
    accuracy = _accuracies(kinds, fit, _telling_votes(votes[0], votes[1], truth, num_raters), bool((truth != MISSING).any()))
    return DawidSkene(posterior, fit.prior, fit.confusion, accuracy, fit.iterations)


def _kinds(items: Codes, codes: Codes, truth: Codes, num_raters: int, num_labels: int) -> _Kinds:
    """The kinds of items, from the item and rater * K + label of each vote."""
    order = np.lexsort((codes, items))
    items, codes = items[order], codes[order]
    sizes = np.bincount(items, minlength=len(truth))
    starts = np.cumsum(sizes) - sizes
    of_item = np.full(len(truth), MISSING)
    counts, truths, votes, lengths, total = [], [], [], [], 0
    for size in np.unique(sizes[sizes > 0]).tolist():
        members = np.nonzero(sizes == size)[0]
        rows = np.column_stack([truth[members] + 1, codes[starts[members][:, None] + np.arange(size)]])
        distinct, repeats, kind = distinct_rows(rows)
        of_item[members] = total + kind
        total += len(distinct)
        counts.append(repeats)
        truths.append(distinct[:, 0] - 1)
        votes.append(distinct[:, 1:].reshape(-1))
        lengths.append(np.full(len(distinct), size))
    length = _joined(lengths)
    return _Kinds(
        _joined(counts),
        _joined(truths),
        _joined(votes),
        np.repeat(np.arange(len(length)), length),
        np.cumsum(length) - length,
        of_item,
        num_raters,
        num_labels,
    )


def _joined(parts: list[Codes]) -> Codes:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _fit(kinds: _Kinds, weights: Codes, start: Floats | None) -> _Fit:
    """EM for so many items of each kind, (kinds,), from posteriors, (kinds, K), or from the shares of the votes."""
    K, one_hot = kinds.num_labels, np.eye(kinds.num_labels)
    fixed = kinds.truth != MISSING
    if start is None:
        start = np.zeros((len(kinds.items), K))
        np.add.at(start, (kinds.kind, kinds.votes % K), 1.0)
        start /= start.sum(1, keepdims=True)
    posterior = start
    posterior[fixed] = one_hot[kinds.truth[fixed]]
    iterations, previous = 0, None
    while True:
        prior, confusion = _maximize(kinds, posterior * weights[:, None])
        change = np.inf if previous is None else np.abs(confusion - previous).max(initial=0.0)
        if change < TOLERANCE or iterations == MAX_ITERATIONS:
            return _Fit(posterior, prior, confusion, iterations)
        posterior, previous, iterations = _expect(kinds, prior, confusion), confusion, iterations + 1
        posterior[fixed] = one_hot[kinds.truth[fixed]]


def _maximize(kinds: _Kinds, expected: Floats) -> tuple[Floats, Floats]:
    """The prior and the confusion matrices (eqs. 2.3 and 2.4) from the expected items of each kind and label, (kinds, K)."""
    R, K = kinds.num_raters, kinds.num_labels
    chosen = np.stack([np.bincount(kinds.votes, expected[kinds.kind, k], minlength=R * K) for k in range(K)])
    chosen = chosen.reshape(K, R, K).transpose(1, 0, 2)
    pooled = chosen.sum(0) + 1 + np.eye(K)
    pooled /= pooled.sum(1, keepdims=True)
    confusion = chosen + SHRINKAGE * pooled
    confusion /= confusion.sum(2, keepdims=True)
    prior = expected.sum(0) + 1
    return prior / prior.sum(), confusion


def _expect(kinds: _Kinds, prior: Floats, confusion: Floats) -> Floats:
    """The posteriors, (kinds, K) (eq. 2.5)."""
    if not len(kinds.items):
        return np.zeros((0, len(prior)))
    logs = np.log(confusion.transpose(0, 2, 1).reshape(-1, len(prior)))  # (raters * chosen K, true K)
    joint = np.log(prior) + np.add.reduceat(logs[kinds.votes], kinds.starts, axis=0)
    joint = np.exp(joint - joint.max(1, keepdims=True))
    posterior: Floats = joint / joint.sum(1, keepdims=True)
    return posterior


def _telling_votes(items: Codes, raters: Codes, truth: Codes, num_raters: int) -> Codes:
    """How many votes of each rater are on items that another vote or a known label tells something about, (raters,)."""
    votes_of_item = np.bincount(items, minlength=len(truth))
    telling = (votes_of_item[items] > 1) | (truth[items] != MISSING)
    return np.bincount(raters[telling], minlength=num_raters)


def _accuracies(kinds: _Kinds, fit: _Fit, votes: Codes, any_known: bool) -> list[Metric | None]:
    enough = votes >= MIN_VOTES
    if not any_known and enough.sum() < MIN_RATERS:
        return [None] * kinds.num_raters
    parts = np.random.default_rng(0).multinomial(kinds.items, np.full(GROUPS, 1 / GROUPS)).T
    without = [_fit(kinds, kinds.items - part, fit.posterior.copy()).accuracy for part in parts]
    logits = _logit(np.stack(without))
    variances = (GROUPS - 1) / GROUPS * ((logits - logits.mean(0)) ** 2).sum(0)
    halves = t_quantile(UPPER, GROUPS - 1) * np.sqrt(variances)
    return [
        _interval(value, half, int(count)) if count >= MIN_VOTES else None
        for value, half, count in zip(fit.accuracy.tolist(), halves.tolist(), votes.tolist(), strict=True)
    ]


def _interval(accuracy: float, half: float, votes: int) -> Metric:
    middle = log(accuracy / (1 - accuracy))
    least = wilson(accuracy * votes, votes, t_quantile(UPPER, votes - 1))
    low, high = (1 / (1 + exp(-end)) for end in (middle - half, middle + half))
    assert least.low is not None and least.high is not None
    return Metric(accuracy, min(low, least.low), max(high, least.high))


def _logit(shares: Floats) -> Floats:
    logits: Floats = np.log(shares / (1 - shares))
    return logits

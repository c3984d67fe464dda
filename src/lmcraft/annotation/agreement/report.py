"""How far reviewers agree, how reliable each is, and which rules of the guideline are unclear.

`agreement_report` returns this JSON. METRIC is `{value, low, high}` with the ends of the 95% interval, which are null with
too little data; it is null where there is nothing to compare. Only production votes count: not those on gold items, unless
they are named, not those of calibration rounds, and not the decisions of adjudicators.

    {guideline, version, kind, labels: [name],
     votes, items, shared_items (with at least two votes),
     agreement: METRIC (share of pairs of votes on the same item with the same label),
     krippendorff: METRIC,
     cohen: METRIC (of pairs of reviewers, the mean weighted by items),
     fleiss: METRIC (needs the same number of votes on each item, so it is of the items with `fleiss_votes` votes),
     fleiss_votes, fleiss_items,
     label_shares: {label: share of the votes},
     raters: [{reviewer, votes, shared_items,
               agreement: METRIC (with the other votes on the same items),
               seconds (median of recent votes, or null),
               gold: {judged, correct, accuracy: METRIC},
               reliability: METRIC (share of right labels by Dawid and Skene's model, gold items included),
               confusion: [[share]] (rows: true label, columns: chosen label) or null,
               suspect (agrees, or is right on gold items, significantly less than the others),
               measure: agreement | gold | "" (which of the two)}],
     pairs: [{first, second, items, agreement: METRIC, cohen: METRIC}] (at most 50, most shared items first),
     rules: [{id, votes, items, contradicted: METRIC, p_value or null, unclear}] (see `unclear_rules.contradicted_rules`),
     confused_rules: [{first, second, items, confusions, share: METRIC, other_labels, p_value, confused}],
     findings: [{kind: unclear_rule | confused_rules | suspect_reviewer, rules: [id], reviewer, measure, share: METRIC}]}
"""

import time
from collections.abc import Sequence
from math import sqrt
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import sqlalchemy as sa

from lmcraft.annotation.agreement.unclear_rules import confused_rules, contradicted_rules
from lmcraft.annotation.agreement.vote_table import Mask, VoteTable, read_vote_table
from lmcraft.annotation.audit_log import log as audit_log
from lmcraft.annotation.queue.versions import GuidelineVersions
from lmcraft.annotation.records import Json
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import verdicts
from lmcraft.statistics.agreement import (
    MISSING,
    Codes,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    percent_agreement,
    vote_pairs,
)
from lmcraft.statistics.dawid_skene import dawid_skene
from lmcraft.statistics.intervals import Metric
from lmcraft.statistics.multiple import MAX_FALSE_DISCOVERY_RATE, adjusted_p_values
from lmcraft.statistics.paired import unpaired_proportions
from lmcraft.statistics.proportions import clustered_proportion, proportion

MAX_PAIRS = 50
RECENT_VOTES = 20_000
MIN_SHORTFALL = 0.1
"""A reviewer is suspect only if they agree, or are right on gold items, by so much less than the others."""
MIN_ITEMS = 8
"""Fewest items for comparing a reviewer with the others."""
SLOW_SECONDS, MAX_LOAD = 0.5, 0.2
"""A report that takes longer than this is computed again only after a time that keeps this share of a processor."""

_reports: WeakKeyDictionary[ReviewStore, dict[str, tuple[audit_log.Head, float, float, Json]]] = WeakKeyDictionary()
_lock = Lock()


def agreement_report(store: ReviewStore, guideline: str) -> Json:
    """The report on a guideline's votes, computed again when the audit log has grown; see the top of this file.

    Raises:
        NotFoundError: there is no such guideline.
    """
    with _lock, store.reading() as (connection, _):
        cache = _reports.setdefault(store, {})
        head, begin = audit_log.head(connection), time.monotonic()
        if guideline in cache:
            known_head, ended, seconds, report = cache[guideline]
            is_fresh = seconds > SLOW_SECONDS and begin - ended < seconds / MAX_LOAD
            if known_head == head or is_fresh:
                return report
        report = _report(connection, guideline)
        end = time.monotonic()
        cache[guideline] = head, end, end - begin, report
        return report


def summarize_agreement(votes: VoteTable) -> Json:
    """The part of the report that a calibration round has, too: how far all, and each two, reviewers agree."""
    counts = votes.counts
    sizes = counts.sum(1)
    shared = sizes[sizes > 1]
    fleiss_votes = int(np.bincount(shared).argmax()) if len(shared) else 0
    same_size = counts[sizes == fleiss_votes] if fleiss_votes else counts[:0]
    return {
        "votes": len(votes.item),
        "items": int((sizes > 0).sum()),
        "shared_items": len(shared),
        "agreement": _json(percent_agreement(counts)),
        "krippendorff": _json(krippendorff_alpha(counts)),
        "fleiss": _json(fleiss_kappa(same_size)),
        "fleiss_votes": fleiss_votes,
        "fleiss_items": len(same_size),
        "pairs": _pairs(votes),
        "confused_rules": confused_rules(votes),
    }


def describe_finding(finding: Json) -> str:
    """What a finding of the report says, in a sentence."""
    share = f"{finding['share']['value']:.0%}"
    if finding["share"]["low"] is not None:
        share += f" ({finding['share']['low']:.0%} to {finding['share']['high']:.0%})"
    if finding["kind"] == "suspect_reviewer":
        with_others = f"agrees with {share} of the other votes on the same items"
        result = with_others if finding["measure"] == "agreement" else f"is right on {share} of the gold items"
        return f"reviewer {finding['reviewer']} {result}, fewer than the others; go through some verdicts together"
    if finding["kind"] == "unclear_rule":
        return f"rule {finding['rules'][0]} is unclear: {share} of the items that cite it are contradicted; sharpen it"
    first, second = finding["rules"]
    return f"rules {first} and {second} are often confused ({share} of the items that cite either); sharpen them"


def _report(connection: sa.Connection, guideline: str) -> Json:
    versions = GuidelineVersions(connection)[guideline]
    table = read_vote_table(connection, versions)
    votes = table.where(~table.is_gold)
    summary = summarize_agreement(votes)
    shares = np.bincount(votes.label, minlength=len(votes.labels)) / max(len(votes.label), 1)
    raters = _raters(table, votes, _median_seconds(connection, guideline))
    rules = contradicted_rules(votes)
    return {
        "guideline": guideline,
        "version": versions[-1].version,
        "kind": versions[-1].kind,
        "labels": list(votes.labels),
        **summary,
        "cohen": _json(_mean_kappa(summary["pairs"])),
        "label_shares": dict(zip(votes.labels, shares.tolist(), strict=True)),
        "raters": raters,
        "rules": rules,
        "findings": _findings(rules, summary["confused_rules"], raters),
    }


def _raters(table: VoteTable, votes: VoteTable, seconds: dict[str, float]) -> list[Json]:
    """All reviewers by name; `table` has the votes on gold items, `votes` has not."""
    estimate = dawid_skene(
        table.item,
        table.reviewer,
        table.label,
        num_items=len(table.truth),
        num_raters=len(table.reviewers),
        num_labels=len(table.labels),
        true_labels=np.where(_gold_items(table), table.truth, MISSING),
    )
    agreements, shared = _agreement_with_others(votes)
    suspects = _suspects(table, votes)
    return [
        {
            "reviewer": name,
            "votes": int((votes.reviewer == number).sum()),
            "shared_items": shared[number],
            "agreement": _json(agreements[number]),
            "seconds": seconds.get(name),
            "gold": _gold_record(table, number),
            "reliability": _json(estimate.accuracy[number]),
            "confusion": None if estimate.accuracy[number] is None else estimate.confusion[number].round(4).tolist(),
            "suspect": bool(suspects[number]),
            "measure": suspects[number],
        }
        for number, name in enumerate(table.reviewers)
    ]


def _gold_items(table: VoteTable) -> np.ndarray:
    """Whether each item is a gold item, (items,)."""
    return np.isin(np.arange(len(table.truth)), table.item[table.is_gold])


def _gold_record(table: VoteTable, reviewer: int) -> Json:
    mine = np.nonzero(table.is_gold & (table.reviewer == reviewer))[0]
    judged, correct = len(mine), int((table.label[mine] == table.truth[table.item[mine]]).sum())
    return {"judged": judged, "correct": correct, "accuracy": vars(proportion(correct, judged)) if judged else None}


def _agreement_with_others(votes: VoteTable) -> tuple[list[Metric | None], list[int]]:
    """Of each reviewer: the share of the others' votes on their items with the same label, and the number of such items."""
    first, second = vote_pairs(votes.item)
    same = votes.label[first] == votes.label[second]
    metrics: list[Metric | None] = []
    shared: list[int] = []
    for reviewer in range(len(votes.reviewers)):
        mine = (votes.reviewer[first] == reviewer) | (votes.reviewer[second] == reviewer)
        on_items, agrees = votes.item[first[mine]], same[mine]
        num_items = int((np.bincount(on_items) > 0).sum())
        if num_items == len(on_items):  # one pair per item
            metric = proportion(int(agrees.sum()), num_items)
        else:
            metric = clustered_proportion(agrees, on_items.tolist())
        metrics.append(metric if num_items else None)
        shared.append(num_items)
    return metrics, shared


def _suspects(table: VoteTable, votes: VoteTable) -> list[str]:
    """For each reviewer, what shows that they differ from the others: `agreement`, `gold`, or nothing.

    A reviewer is compared with the pairs of votes, and with the gold items, of all others. The p-values of both comparisons
    and of all reviewers are adjusted together.
    """
    first, second = vote_pairs(votes.item)
    same = votes.label[first] == votes.label[second]
    gold = table.where(table.is_gold)
    correct = gold.label == gold.truth[gold.item]
    p_values: list[float | None] = []
    for reviewer in range(len(table.reviewers)):
        mine = (votes.reviewer[first] == reviewer) | (votes.reviewer[second] == reviewer)
        p_values.append(_shortfall_p_value(same, mine, votes.item[first]))
        p_values.append(_shortfall_p_value(correct, gold.reviewer == reviewer, np.arange(len(gold.item))))
    adjusted = [1.0 if p is None else p for p in adjusted_p_values(p_values)]
    names = [min(zip(pair, ("agreement", "gold"), strict=True)) for pair in zip(adjusted[::2], adjusted[1::2], strict=True)]
    return [name if p <= MAX_FALSE_DISCOVERY_RATE else "" for p, name in names]


def _shortfall_p_value(outcomes: Mask, mine: Mask, clusters: Codes) -> float | None:
    """Of the hypothesis that a share of outcomes is the same with a reviewer, `mine`, as without; 1 if it is not much lower.

    Outcomes of one cluster count as one. None for fewer than MIN_ITEMS of them.
    """
    successes, trials = [], []
    for mask in (~mine, mine):
        number = int((np.bincount(clusters[mask]) > 0).sum())
        trials.append(number)
        successes.append(round(number * float(outcomes[mask].mean())) if number else 0)
    if min(trials) < MIN_ITEMS:
        return None
    comparison = unpaired_proportions((successes[0], successes[1]), (trials[0], trials[1]))
    return comparison.p_value if comparison.gain.value <= -MIN_SHORTFALL else 1.0


def _pairs(votes: VoteTable) -> list[Json]:
    """The pairs of reviewers that share the most items, at most MAX_PAIRS."""
    first, second = vote_pairs(votes.item)
    is_swapped = votes.reviewer[first] > votes.reviewer[second]
    first, second = np.where(is_swapped, second, first), np.where(is_swapped, first, second)
    pair = votes.reviewer[first] * len(votes.reviewers) + votes.reviewer[second]
    sizes = np.bincount(pair)
    largest = np.argsort(-sizes, kind="stable")[:MAX_PAIRS]
    return [_pair(votes, first[pair == number], second[pair == number]) for number in largest if sizes[number]]


def _pair(votes: VoteTable, first: Codes, second: Codes) -> Json:
    """How far two reviewers agree, from the indices of their votes on the same items."""
    a, b = votes.label[first], votes.label[second]
    return {
        "first": votes.reviewers[votes.reviewer[first[0]]],
        "second": votes.reviewers[votes.reviewer[second[0]]],
        "items": len(a),
        "agreement": vars(proportion(int((a == b).sum()), len(a))),
        "cohen": _json(cohen_kappa(a, b, len(votes.labels))),
    }


def _mean_kappa(pairs: Sequence[Json]) -> Metric | None:
    """The mean of the pairs' kappas, weighted by items; with an interval if all have one, as if pairs were independent."""
    kappas = [(Metric(**pair["cohen"]), pair["items"]) for pair in pairs if pair["cohen"]]
    if not kappas:
        return None
    total = sum(number for _, number in kappas)
    value = sum(kappa.value * number for kappa, number in kappas) / total
    if any(kappa.low is None for kappa, _ in kappas):
        return Metric(value)
    below = sqrt(sum(((kappa.value - (kappa.low or 0)) * number / total) ** 2 for kappa, number in kappas))
    above = sqrt(sum((((kappa.high or 0) - kappa.value) * number / total) ** 2 for kappa, number in kappas))
    return Metric(value, value - below, value + above)


def _findings(rules: Sequence[Json], confused: Sequence[Json], raters: Sequence[Json]) -> list[Json]:
    """What the owner should do something about: unclear rules, confused rules, then reviewers, the worst first."""
    findings = [_finding("unclear_rule", row["contradicted"], rules=[row["id"]]) for row in rules if row["unclear"]]
    pairs = [row for row in confused if row["confused"]]
    findings += [_finding("confused_rules", row["share"], rules=[row["first"], row["second"]]) for row in pairs]
    for row in raters:
        if row["suspect"]:
            share = row["agreement"] if row["measure"] == "agreement" else row["gold"]["accuracy"]
            findings.append(_finding("suspect_reviewer", share, reviewer=row["reviewer"], measure=row["measure"]))
    return findings


def _finding(kind: str, share: Json, **values: Any) -> Json:
    return {"kind": kind, "rules": [], "reviewer": "", "measure": "", **values, "share": share}


def _median_seconds(connection: sa.Connection, guideline: str) -> dict[str, float]:
    """How long each reviewer takes: the median of their votes among the latest ones."""
    v = verdicts.c
    # An expression, since the index on guidelines would have the database sort all votes to find the latest.
    is_included = (v.guideline.concat("") == guideline) & (v.kind == "review") & (v.seconds > 0)
    latest = sa.select(v.reviewer, v.seconds).where(is_included).order_by(v.position.desc()).limit(RECENT_VOTES)
    seconds: dict[str, list[float]] = {}
    for reviewer, number in connection.execute(latest):
        seconds.setdefault(reviewer, []).append(number)
    return {reviewer: float(np.median(numbers)) for reviewer, numbers in seconds.items()}


def _json(metric: Metric | None) -> Json | None:
    return None if metric is None else vars(metric)

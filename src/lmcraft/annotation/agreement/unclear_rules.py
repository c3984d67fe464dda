"""Rules that people read differently: whose verdicts others contradict, and which two they confuse."""

import numpy as np

from lmcraft.annotation.agreement.vote_table import Mask, VoteTable
from lmcraft.annotation.records import Json
from lmcraft.statistics.agreement import MISSING, Codes, vote_pairs
from lmcraft.statistics.distributions import binomial_probability
from lmcraft.statistics.multiple import MAX_FALSE_DISCOVERY_RATE, adjusted_p_values
from lmcraft.statistics.proportions import proportion

MAX_CONTRADICTED = 0.2
"""A rule is unclear if significantly more of the items for which it was cited are contradicted."""
MAX_CONFUSED = 0.1
"""Two rules are confused if significantly more of the pairs of votes that cite one of them cite both."""
MAX_PAIRS = 50


def contradicted_rules(votes: VoteTable) -> list[Json]:
    """How often another person chose another label where a rule was cited, the worst rule first.

    An item counts for a rule if a vote cites the rule's newest text, and another person judged it, too: an adjudicator,
    whose decision counts alone, or another reviewer. P-values are of the exact binomial test that at most MAX_CONTRADICTED
    of the items are contradicted, adjusted for the number of rules.
    """
    per_item = votes.counts
    decided = votes.truth[votes.item]
    differs = per_item.sum(1)[votes.item] > per_item[votes.item, votes.label]
    is_contradicted = np.where(decided == MISSING, differs, decided != votes.label)
    is_counted = votes.is_current & ((decided != MISSING) | (per_item.sum(1)[votes.item] > 1))
    cited = _items_per_rule(votes, votes.is_current)
    counted, contradicted = (_items_per_rule(votes, mask) for mask in (is_counted, is_counted & is_contradicted))
    num_votes = np.bincount(votes.rule[votes.is_current], minlength=len(votes.rules))
    rows: list[Json] = [
        {
            "id": rule,
            "votes": int(num_votes[number]),
            "items": int(counted[number]),
            "contradicted": vars(proportion(int(contradicted[number]), int(counted[number]))) if counted[number] else None,
            "p_value": _p_value(int(contradicted[number]), int(counted[number]), MAX_CONTRADICTED),
        }
        for number, rule in enumerate(votes.rules)
        if cited[number]
    ]
    return _judged(rows, "contradicted", "unclear")


def confused_rules(votes: VoteTable) -> list[Json]:
    """How often two people cite two different rules for the same item, the worst pair first, at most MAX_PAIRS.

    The share is that of the pairs of votes on the same item that cite one of the two rules each. P-values are of the exact
    binomial test that at most MAX_CONFUSED of them cite both, adjusted for the number of pairs.
    """
    current = votes.where(votes.is_current)
    first, second = vote_pairs(current.item)
    rules, num_rules = np.stack([current.rule[first], current.rule[second]]), len(votes.rules)
    low, high = rules.min(0), rules.max(0)
    together = _square(low, high, num_rules)
    other_labels = current.label[first] != current.label[second]
    with_other_labels = _square(low[other_labels], high[other_labels], num_rules)
    rows: list[Json] = []
    for a, b in zip(*np.nonzero(np.triu(together, 1)), strict=True):
        confusions, pairs = int(together[a, b]), int(together[a, b] + together[a, a] + together[b, b])
        rows.append(
            {
                "first": votes.rules[a],
                "second": votes.rules[b],
                "items": pairs,
                "confusions": confusions,
                "share": vars(proportion(confusions, pairs)),
                "other_labels": int(with_other_labels[a, b]) / confusions,
                "p_value": _p_value(confusions, pairs, MAX_CONFUSED),
            }
        )
    return _judged(rows, "share", "confused")[:MAX_PAIRS]


def _items_per_rule(votes: VoteTable, mask: Mask) -> Codes:
    """How many items have a vote that is in the mask, of each rule, (rules,)."""
    is_cited = np.zeros((len(votes.rules), len(votes.truth)), dtype=np.bool_)
    is_cited[votes.rule[mask], votes.item[mask]] = True
    return np.asarray(is_cited.sum(1), dtype=np.int64)


def _square(rows: Codes, columns: Codes, size: int) -> Codes:
    return np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)


def _p_value(successes: int, trials: int, share: float) -> float | None:
    """P(at least so many successes) if their true share is `share`."""
    return 1 - binomial_probability(successes - 1, trials, share) if trials else None


def _judged(rows: list[Json], share: str, flag: str) -> list[Json]:
    """The rows with adjusted p-values and the flag that follows from them, the highest share first."""
    for row, p_value in zip(rows, adjusted_p_values([row["p_value"] for row in rows]), strict=True):
        row["p_value"] = p_value
        row[flag] = p_value is not None and p_value <= MAX_FALSE_DISCOVERY_RATE
    return sorted(rows, key=lambda row: (not row[flag], -(row[share] or {"value": -1.0})["value"]))

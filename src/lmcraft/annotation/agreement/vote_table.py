"""The votes under a guideline as arrays.

The database counts how many items have the same votes, so that 200,000 votes arrive as about a thousand rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from lmcraft.annotation.guidelines.changes import changed_rules
from lmcraft.annotation.guidelines.guideline import GuidelineVersion
from lmcraft.annotation.tables import items, verdicts
from lmcraft.statistics.agreement import MISSING, Codes, count_codes

Mask = NDArray[np.bool_]
_FIELD_END, _VOTE_END = "\x1f", "\x1e"
_VOTE_COLUMNS = ("item", "reviewer", "label", "rule", "is_current", "is_gold")


@dataclass(frozen=True)
class VoteTable:
    """Reviewers' votes as numbers from 0 on."""

    item: Codes
    """(votes,), like all columns but `truth`."""
    reviewer: Codes
    label: Codes
    rule: Codes
    is_current: Mask
    """Whether the rule is in the newest version as the vote cites it."""
    is_gold: Mask
    truth: Codes
    """The label that an adjudicator decided on, or that a gold item is known to have, or MISSING, (items,)."""
    reviewers: Sequence[str]
    labels: Sequence[str]
    rules: Sequence[str]

    @property
    def counts(self) -> Codes:
        """How many votes each item has for each label, (items, labels)."""
        return count_codes(self.item, self.label, len(self.truth), len(self.labels))

    def where(self, mask: Mask) -> "VoteTable":
        """The votes of a mask, (votes,); all numbers keep their meaning."""
        return replace(self, **{name: getattr(self, name)[mask] for name in _VOTE_COLUMNS})


@dataclass(frozen=True)
class _Pattern:
    """Items with the same votes."""

    votes: Sequence[Sequence[str]]
    """Kind, label, rule, version and reviewer of each."""
    expected: str | None
    """The label that is known of gold items."""
    num_items: int


def read_vote_table(
    connection: sa.Connection, versions: Sequence[GuidelineVersion], round_id: str | None = None
) -> VoteTable:
    """The votes on ordinary and gold items, or on the items of a calibration round.

    Args:
        connection: in a transaction.
        versions: of the guideline, oldest first.
        round_id: the round's; None: votes outside of any round.
    """
    patterns = list(_read_patterns(connection, versions[-1].name, round_id))
    votes = [vote for pattern in patterns for vote in pattern.votes if vote[0] == "review"]
    current = versions[-1]
    labels = _Names([label.name for label in current.labels])
    rules, reviewers = _Names([rule.id for rule in current.rules]), _Names(sorted({vote[4] for vote in votes}))
    outdated = {str(version.version): set(changed_rules(version, current)) for version in versions}
    sizes = np.array([sum(vote[0] == "review" for vote in pattern.votes) for pattern in patterns], dtype=np.int64)
    pattern_of_item = np.repeat(np.arange(len(patterns)), [pattern.num_items for pattern in patterns])
    votes_of_item = sizes[pattern_of_item]
    item = np.repeat(np.arange(len(pattern_of_item)), votes_of_item)
    first = (np.cumsum(sizes) - sizes)[pattern_of_item] - (np.cumsum(votes_of_item) - votes_of_item)
    source = first[item] + np.arange(len(item))
    is_gold = np.array([pattern.expected is not None for pattern in patterns], dtype=np.bool_)
    truth = labels.numbers(_truth(pattern) for pattern in patterns)
    return VoteTable(
        item=item,
        reviewer=reviewers.numbers(vote[4] for vote in votes)[source],
        label=labels.numbers(vote[1] for vote in votes)[source],
        rule=rules.numbers(vote[2] for vote in votes)[source],
        is_current=np.array([vote[2] not in outdated[vote[3]] for vote in votes], dtype=np.bool_)[source],
        is_gold=is_gold[pattern_of_item][item],
        truth=truth[pattern_of_item],
        reviewers=reviewers.names,
        labels=labels.names,
        rules=rules.names,
    )


def _read_patterns(connection: sa.Connection, guideline: str, round_id: str | None) -> Iterator[_Pattern]:
    v, c = verdicts.c, items.c
    reviewer = sa.func.replace(sa.func.replace(v.reviewer, _FIELD_END, " "), _VOTE_END, " ")
    version = sa.cast(v.version, sa.String)
    code = v.kind + _FIELD_END + v.label + _FIELD_END + v.rule + _FIELD_END + version + _FIELD_END + reviewer
    # An expression, since the index on guidelines would have the database sort all votes by item.
    is_included = (v.guideline.concat("") == guideline) & (v.round.is_(None) if round_id is None else v.round == round_id)
    is_gold = c.expected_label.is_not(None) & (c.guideline == guideline)
    gold = sa.select(c.id).where(is_gold)
    of_item = sa.select(sa.func.aggregate_strings(code, _VOTE_END).label("votes")).where(is_included)
    grouped = of_item.where(v.item.not_in(gold)).group_by(v.item).subquery().c.votes
    for votes, number in connection.execute(sa.select(grouped, sa.func.count()).group_by(grouped)):
        yield _Pattern(_split(votes), None, number)
    on_gold = of_item.add_columns(c.expected_label).join(items, c.id == v.item).where(is_gold)
    for votes, expected in connection.execute(on_gold.group_by(v.item, c.expected_label)):
        yield _Pattern(_split(votes), expected, 1)


def _split(votes: str) -> list[list[str]]:
    return [vote.split(_FIELD_END) for vote in votes.split(_VOTE_END)]


def _truth(pattern: _Pattern) -> str | None:
    decided = (vote[1] for vote in pattern.votes if vote[0] == "adjudicate")
    return next(decided, None) if pattern.expected is None else pattern.expected


class _Names:
    """Names and their numbers; those of a newer version come first, in its order."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._numbers = {name: number for number, name in enumerate(names)}

    def numbers(self, names: Iterator[str] | Iterator[str | None]) -> Codes:
        """The number of each name, a new one if need be; MISSING for None."""
        return np.array([MISSING if name is None else self._number(name) for name in names], dtype=np.int64)

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self.names)
            self.names.append(name)
        return self._numbers[name]

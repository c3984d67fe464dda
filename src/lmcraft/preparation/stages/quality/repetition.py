"""Measures of repetition: paragraphs, lines and runs of words that stand in a text more than once.

They are those of Gopher (arXiv 2112.11446, table A1) as datatrove computes them. A measure of runs may return less than the
true value if that is certain not to exceed the rule's threshold: the runs of most documents need not be counted to the end.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np

from lmcraft.data.words import RunCounts, count_runs, run_hashes
from lmcraft.preparation.stages.quality.statistics import Statistics


class RunRule(Protocol):
    """What a measure of runs reads of its rule."""

    @property
    def threshold(self) -> float: ...
    @property
    def tokens(self) -> int: ...
    @property
    def joints(self) -> int: ...


class Repetition(Statistics):
    """A document, with what the measures of runs share."""

    @cached_property
    def paragraphs(self) -> list[str]:
        """Texts between blank lines."""
        pieces = (piece.lstrip("\n") for piece in self.text.strip().split("\n\n"))
        return [piece for piece in pieces if piece] or [""]

    @cached_property
    def pairs(self) -> RunCounts:
        """The runs of two tokens, of which each longer run that repeats is made."""
        return count_runs(self.tokens.hashes, 2)

    @cached_property
    def max_repeated_characters(self) -> int:
        """At least the number of characters in repeated runs of five tokens, and so of more."""
        repeats = count_runs(self.tokens.hashes, 5).repeats
        return repeats * longest_run(self, 5) if repeats else 0

    @cached_property
    def repeated_characters(self) -> int:
        """The characters of tokens in runs of five that repeat an earlier run."""
        hashes_R = run_hashes(self.tokens.hashes, 5)
        order = np.argsort(hashes_R, kind="stable")
        later = order[1:][hashes_R[order[1:]] == hashes_R[order[:-1]]]
        covered_T = np.zeros(len(self.tokens), dtype=np.bool_)
        for offset in range(5):
            covered_T[later + offset] = True
        return int(self.lengths[covered_T].sum())


def longest_run(statistics: Statistics, length: int) -> int:
    """Characters of the longest run of tokens."""
    return int((statistics.ends[length:] - statistics.ends[:-length]).max())


def _duplicates(items: Sequence[str]) -> tuple[int, int]:
    """How many items repeat an earlier one, and how many characters these have."""
    if len(distinct := set(items)) == len(items):
        return 0, 0
    return len(items) - len(distinct), sum(map(len, items)) - sum(map(len, distinct))


def duplicate_paragraphs(statistics: Repetition, rule: RunRule) -> float:
    """The share of paragraphs that repeat an earlier one."""
    return _duplicates(statistics.paragraphs)[0] / len(statistics.paragraphs)


def duplicate_paragraph_characters(statistics: Repetition, rule: RunRule) -> float:
    """The share of characters in paragraphs that repeat an earlier one."""
    return _duplicates(statistics.paragraphs)[1] / max(1, len(statistics.text))


def duplicate_lines(statistics: Repetition, rule: RunRule) -> float:
    """The share of lines that repeat an earlier one."""
    return _duplicates(statistics.lines)[0] / len(statistics.lines)


def duplicate_line_characters(statistics: Repetition, rule: RunRule) -> float:
    """The share of characters in lines that repeat an earlier one."""
    return _duplicates(statistics.lines)[1] / max(1, len(statistics.text))


def duplicate_filled_line_characters(statistics: Repetition, rule: RunRule) -> float:
    """As `duplicate_line_characters`, without blank lines and line breaks."""
    characters = len(statistics.text) - statistics.text.count("\n")
    return _duplicates(statistics.filled_lines)[1] / max(1, characters)


def top_run(statistics: Repetition, rule: RunRule) -> float:
    """The share of characters in the most frequent run of `rule.tokens` tokens, with `rule.joints` spaces in it."""
    limit = rule.threshold * len(statistics.text)
    if len(statistics.tokens) < rule.tokens:
        return 0.0
    longest = longest_run(statistics, rule.tokens) + rule.joints
    if statistics.pairs.most * longest <= limit:
        return 0.0
    runs = statistics.pairs if rule.tokens == 2 else count_runs(statistics.tokens.hashes, rule.tokens)
    if runs.most * longest <= limit:
        return 0.0
    first = runs.first_of_most
    length = int(statistics.ends[first + rule.tokens] - statistics.ends[first]) + rule.joints
    return runs.most * length / len(statistics.text)


def repeated_runs(statistics: Repetition, rule: RunRule) -> float:
    """The share of characters in runs of at least 5 tokens that repeat an earlier one and do not overlap.

    The length of the runs is `rule.tokens`.
    """
    limit = rule.threshold * len(statistics.text)
    if len(statistics.tokens) <= rule.tokens:
        return 0.0
    if statistics.max_repeated_characters <= limit or statistics.repeated_characters <= limit:
        return 0.0
    hashes = run_hashes(statistics.tokens.hashes, rule.tokens).tolist()
    ends = statistics.ends.tolist()
    seen: set[int] = set()
    characters = position = 0
    while position < len(hashes):
        if hashes[position] in seen:
            characters += ends[position + rule.tokens] - ends[position]
            position += rule.tokens
        else:
            seen.add(hashes[position])
            position += 1
    return characters / len(statistics.text)


def repeated_text(measure: str, statistics: Repetition, rule: RunRule) -> str:
    """The line or run that repeats most in a document that a rule of this module removes; empty: another rule."""
    if measure.startswith("duplicate_"):
        items = statistics.paragraphs if "paragraph" in measure else statistics.lines
        return Counter(items).most_common(1)[0][0].strip()
    if measure in ("top_run", "repeated_runs"):
        first = count_runs(statistics.tokens.hashes, rule.tokens).first_of_most
        tokens = statistics.tokens
        return statistics.text[tokens.starts[first] : tokens.stops[first + rule.tokens - 1]]
    return ""

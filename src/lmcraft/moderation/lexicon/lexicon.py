"""The tier of lists of words."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lmcraft.moderation.decision import Finding, Stage
from lmcraft.moderation.lexicon.matcher import Matches, split_key
from lmcraft.moderation.lexicon.passages import drop_allowed, drop_covered, join_repeats
from lmcraft.moderation.lexicon.term import MIN_DISGUISED_SEVERITY, Term
from lmcraft.moderation.lexicon.vocabulary import Vocabulary
from lmcraft.moderation.normalization import normalize
from lmcraft.moderation.normalized_text import NormalizedText

VERSION = 1
"""Raised when other findings come of the same words."""
ALLOWED = -1
"""The severity of a key that is allowed."""
MAX_FINDINGS = 200
"""Of one text; what is beyond is one finding of each category, without a passage."""
MAX_EXCERPT_CHARS = 40


class Match(NamedTuple):
    """A term in a text."""

    term: Term
    start: int
    end: int
    """The passage, in characters of the original text."""


class Lexicon:
    """Finds the terms of lists. Threads may share it.

    Args:
        terms: of all lists. Of the same word in a category the highest severity counts, and a word that one list allows is
            allowed.
    """

    name = "lexicon"

    def __init__(self, terms: Iterable[Term]) -> None:
        ordered = sorted(dict.fromkeys(terms), key=lambda term: -term.severity)
        groups: dict[tuple[str, ...], list[Term]] = {}
        for term, text in zip(ordered, _normalize([term.text for term in ordered]), strict=True):
            if tokens := tuple(split_key(text)):
                groups.setdefault(tokens, []).append(term)
        keys = list(groups)
        self._terms = [_choose(group) for group in groups.values()]
        """Of each key, those that findings name; none if it is allowed."""
        self._severities = np.array([group[0].severity if group else ALLOWED for group in self._terms], dtype=np.int64)
        strong = np.flatnonzero(self._severities >= MIN_DISGUISED_SEVERITY).tolist()
        pairs = [number for number in strong if len("".join(keys[number])) == 2]
        doubtful = {number: len(keys) + position for position, number in enumerate(pairs)}
        self._terms += [
            tuple(replace(term, severity=min(term.severity, 1)) for term in self._terms[number]) for number in pairs
        ]
        self._severities = np.append(self._severities, np.ones(len(pairs), dtype=np.int64))
        self._vocabulary = Vocabulary(keys, strong, doubtful)
        contents = [
            VERSION,
            *sorted([key, [repr(term) for term in group]] for key, group in zip(keys, self._terms, strict=False)),
        ]
        self._fingerprint = hashlib.sha256(json.dumps(contents).encode()).hexdigest()

    def fingerprint(self) -> str:
        """A hash of the words and of the version of this code."""
        return self._fingerprint

    def judge(self, text: NormalizedText, stage: Stage, question: str) -> Sequence[Finding]:
        """Findings of harmful words, and, with a score of 0, of reclaimed and identity terms."""
        matches = self._find(text)
        order = np.lexsort((matches[:, 0], -self._severities[matches[:, 2]]))
        findings = []
        for start, end, key in matches[order[:MAX_FINDINGS]].tolist():
            passage = text.original[start : min(end, start + MAX_EXCERPT_CHARS)]
            findings += [
                Finding(term.category, term.score, self.name, term.describe(passage), start, end)
                for term in self._terms[key]
            ]
        return findings + self._summarize(matches[order[MAX_FINDINGS:]])

    def find_terms(self, text: NormalizedText) -> list[Match]:
        """All terms in a text, by position; also those that never count."""
        return [Match(term, start, end) for start, end, key in self._find(text).tolist() for term in self._terms[key]]

    def _summarize(self, matches: Matches) -> list[Finding]:
        """One finding for each category of matches too many to list."""
        if not len(matches):
            return []
        keys, counts = np.unique(matches[:, 2], return_counts=True)
        totals: dict[str, tuple[float, int]] = {}
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            for term in self._terms[key]:
                score, total = totals.get(term.category, (0.0, 0))
                totals[term.category] = max(score, term.score), total + count
        return [
            Finding(category, score, self.name, f"{total:,} more passages with such words")
            for category, (score, total) in totals.items()
        ]

    def _find(self, text: NormalizedText) -> Matches:
        """(start, end, key) of all passages of the original text, by start, without those that are allowed."""
        matches = self._vocabulary.find(text, text.plain)
        are_allowed = self._severities[matches[:, 2]] == ALLOWED
        disguised = [self._vocabulary.find(text, view) for view in text.views[1:]]
        return self._resolve(np.concatenate([matches[~are_allowed], *disguised]), matches[are_allowed])

    def _resolve(self, matches: Matches, allowed: Matches) -> Matches:
        matches = drop_allowed(matches, allowed)
        if not len(matches):
            return matches
        return join_repeats(drop_covered(matches, self._severities[matches[:, 2]]))


def _choose(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Of the terms of a key, by falling severity: the first of each category and kind; none if one is allowed."""
    if any(term.kind == "allowed" for term in terms):
        return ()
    chosen: dict[tuple[str, str], Term] = {}
    for term in terms:
        chosen.setdefault((term.category, term.kind), term)
    return tuple(chosen.values())


def _normalize(texts: Sequence[str]) -> list[str]:
    """Each text as it stands in the plain view."""
    joined = "\n".join(" ".join(text.split()) for text in texts)
    return normalize(joined).plain.text.split("\n")

"""The tier of lists of words."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from lmcraft.moderation.decision import Finding, Stage
from lmcraft.moderation.lexicon.matcher import Matches, split_key
from lmcraft.moderation.lexicon.opener import Matcher
from lmcraft.moderation.lexicon.passages import drop_allowed, drop_covered, drop_overlapping, join_repeats
from lmcraft.moderation.lexicon.term import MIN_DISGUISED_SEVERITY, Term
from lmcraft.moderation.lexicon.wildcards import MaskedWords
from lmcraft.moderation.normalization import normalize
from lmcraft.moderation.normalized_text import NormalizedText, View

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
        self._matcher = Matcher(keys)
        can_be_masked = (self._severities >= MIN_DISGUISED_SEVERITY).tolist()
        self._masked = MaskedWords(
            ["".join(key) if is_masked else "" for key, is_masked in zip(keys, can_be_masked, strict=True)]
        )
        contents = [
            VERSION,
            *sorted([key, [repr(term) for term in group]] for key, group in zip(keys, self._terms, strict=True)),
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
        matches, allowed = self._in_view(text.plain, self._matcher.find(text.plain.text))
        for view in text.views[1:]:
            candidates = np.concatenate([self._matcher.find(view.text), self._masked.find(view.text)])
            severities = self._severities[candidates[:, 2]]
            candidates = candidates[(severities >= MIN_DISGUISED_SEVERITY) | (severities == ALLOWED)]
            disguised, _ = self._in_view(view, candidates)
            disguised = drop_overlapping(drop_overlapping(disguised, matches), allowed)
            if len(disguised):
                matches = np.concatenate([matches, disguised])
                matches = matches[np.argsort(matches[:, 0], kind="stable")]
        return matches

    def _in_view(self, view: View, matches: Matches) -> tuple[Matches, Matches]:
        """Those matches in a view that stand, and the allowed words, as passages of the original text."""
        are_allowed = self._severities[matches[:, 2]] == ALLOWED
        allowed, matches = matches[are_allowed], drop_allowed(matches[~are_allowed], matches[are_allowed])
        matches = join_repeats(drop_covered(matches, self._severities[matches[:, 2]]))
        return self._in_original(view, matches), self._in_original(view, allowed)

    def _in_original(self, view: View, matches: Matches) -> Matches:
        if view.offsets is None or not len(matches):
            return matches
        starts, ends, keys = matches.T
        return np.stack([view.offsets[starts].astype(np.int64), view.offsets[ends - 1].astype(np.int64) + 1, keys], axis=1)


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

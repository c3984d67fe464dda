"""Replaces passages with pseudonyms, and pseudonyms with the passages."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from lmcraft.privacy.scrubbing.kinds import Finding
from lmcraft.privacy.scrubbing.pseudonyms.cipher import Cipher
from lmcraft.privacy.scrubbing.pseudonyms.forms import FORMS, TOKEN

HINTS = ("pseudonym", "999", "化名", "2001:db8:0:4:")
NAME_HINT = re.compile(r"[KLMNR][aeio](?:[bdfghjklmnprstvz][aeio]){3} [A-Z]")
PATTERN = re.compile("|".join(form.pattern.pattern for form in FORMS))
"""The beginnings of pseudonyms."""
CACHED_PASSAGES = 65536


class Pseudonym(NamedTuple):
    """A pseudonym in a text."""

    start: int
    stop: int
    passage: str
    """What it stands for."""


class Pseudonymizer:
    """Replaces and restores passages under a key.

    Args:
        key: 32 secret bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = Cipher(key)
        self._encode = lru_cache(CACHED_PASSAGES)(self._choose)

    def replace(self, text: str, findings: Iterable[Finding]) -> str:
        """A text with pseudonyms for the passages of its findings; `restore` gives the text back, character by character.

        What already looks like a pseudonym under this key, becomes one itself.
        """
        passages = _merge([*findings, *(Finding("", start, stop) for start, stop, _ in self._find(text))])
        replaced = self._join(text, passages)
        if self.restore(replaced) == text:
            return replaced
        # A pseudonym and what stands around it look like another one, so every beginning of one becomes a pseudonym.
        beginnings = [Finding("", *match.span()) for match in PATTERN.finditer(text)]
        return self._join(text, [passage._replace(kind="") for passage in _merge([*passages, *beginnings])])

    def restore(self, text: str) -> str:
        """A text with the passages that its pseudonyms stand for; it stays as it is where another key made them."""
        parts, end = [], 0
        for start, stop, passage in self._find(text):
            parts += [text[end:start], passage]
            end = stop
        return "".join([*parts, text[end:]])

    def _join(self, text: str, passages: Iterable[Finding]) -> str:
        parts, end = [], 0
        for kind, start, stop in passages:
            parts += [text[end:start], self._encode(kind, text[start:stop])]
            end = stop
        return "".join([*parts, text[end:]])

    def _choose(self, kind: str, passage: str) -> str:
        """The pseudonym of a passage in the first form that takes it and leads back."""
        for form in FORMS if kind else ():
            pseudonym = form.encode(self._cipher, kind, passage)
            if pseudonym is not None:
                return pseudonym
        token = TOKEN.encode(self._cipher, kind, passage)
        assert token is not None
        return token

    def _find(self, text: str) -> Iterator[Pseudonym]:
        """The pseudonyms in a text, by position."""
        if not any(hint in text for hint in HINTS) and not NAME_HINT.search(text):
            return
        position = 0
        while (candidate := PATTERN.search(text, position)) is not None:
            pseudonym = self._read(text, candidate.start())
            position = candidate.start() + 1
            if pseudonym is not None:
                position = pseudonym.stop
                yield pseudonym

    def _read(self, text: str, start: int) -> Pseudonym | None:
        for form in FORMS:
            if form.pattern.match(text, start):
                decoded = form.decode(self._cipher, text, start)
                if decoded is not None:
                    return Pseudonym(start, decoded[1], decoded[0])
        return None


def _merge(findings: Iterable[Finding]) -> list[Finding]:
    """Findings by position; those that overlap are one of no kind."""
    merged: list[Finding] = []
    for finding in sorted(findings, key=lambda finding: (finding.start, finding.stop)):
        if merged and finding.start < merged[-1].stop:
            merged[-1] = Finding("", merged[-1].start, max(merged[-1].stop, finding.stop))
        else:
            merged.append(finding)
    return merged

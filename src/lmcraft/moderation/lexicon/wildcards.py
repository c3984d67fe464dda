"""Words with masked letters, such as d*ng."""

import re
from collections.abc import Sequence

import numpy as np

from lmcraft.moderation.lexicon.matcher import Matches

WILDCARD = "*"
"""A masked letter in an unmasked view."""

MASKED = re.compile(rf"(?<![^\s])[a-z{re.escape(WILDCARD)}]*[a-z][a-z{re.escape(WILDCARD)}]*(?![^\s])")
MIN_CHARS = 4
"""Of shorter words too little is left."""
MAX_CHARS = 24


class MaskedWords:
    """Finds masked words.

    Args:
        words: texts of keys; those that are not one word in Latin letters are never masked.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words: dict[tuple[int, str], list[tuple[str, int]]] = {}  # by length and first letter
        for key, word in enumerate(words):
            if MIN_CHARS <= len(word) <= MAX_CHARS and word.isascii() and word.isalpha():
                self._words.setdefault((len(word), word[0]), []).append((word, key))

    def find(self, text: str) -> Matches:
        """(start, end, key) of the masked words of a view; of several words that fit, the first."""
        matches = []
        if WILDCARD in text:
            for match in MASKED.finditer(text):
                key = self._complete(match[0])
                if key is not None:
                    matches.append((match.start(), match.end(), key))
        return np.array(matches, dtype=np.int64).reshape(-1, 3)

    def _complete(self, masked: str) -> int | None:
        if WILDCARD not in masked or not MIN_CHARS <= len(masked) <= MAX_CHARS:
            return None
        for word, key in self._words.get((len(masked), masked[0]), ()):
            if all(sign in (letter, WILDCARD) for sign, letter in zip(masked, word, strict=True)):
                return key
        return None

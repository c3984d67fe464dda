"""Finds keys in texts: words and phrases, whole words only in scripts that have spaces.

A text is a sequence of tokens (`characters.TOKEN`), and a key matches where its tokens stand in the text. So "ass" does not
match in "pass", nor "son of a gun" differ from "son-of-a gun", and a Chinese word matches anywhere.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lmcraft.moderation.lexicon.characters import TOKEN, fold_token

Matches = NDArray[np.int64]
"""(M, 3): start, end and the position of the key, ordered by start, then by end."""
NO_MATCHES: Matches = np.empty((0, 3), dtype=np.int64)
MAX_MATCHES_PER_END = 8
"""Of keys that end each other, as "rat", "a rat", "not a rat": no list makes many times as many matches as characters."""
JOINER = "\0"  # between the tokens of a prefix


def split_key(key: str) -> list[str]:
    """The tokens of a key, without spaces around it."""
    tokens = [fold_token(token) for token in TOKEN.findall(key)]
    while tokens and tokens[0] == " ":
        del tokens[0]
    while tokens and tokens[-1] == " ":
        del tokens[-1]
    return tokens


class TokenMatcher:
    """A trie of tokens, in plain Python: for machines without a compiler, and until one has compiled `native/`.

    Args:
        keys: different ones, each the tokens of `split_key`.
    """

    def __init__(self, keys: Sequence[Sequence[str]]) -> None:
        self._prefixes: dict[str, int] = {}  # to the position of the key that ends there, or -1
        for position, tokens in enumerate(keys):
            prefix = ""
            for token in tokens:
                prefix += token + JOINER
                self._prefixes.setdefault(prefix, -1)
            self._prefixes[prefix] = position

    def find(self, text: str) -> Matches:
        """The matches of keys in a text, overlapping ones, too; of those with one end, the longest `MAX_MATCHES_PER_END`."""
        prefixes = self._prefixes
        tokens = [(match.start(), match.end(), match[0]) for match in TOKEN.finditer(text)]
        matches = []
        for first, (start, _, token) in enumerate(tokens):
            prefix, at = fold_token(token) + JOINER, first
            while (key := prefixes.get(prefix)) is not None:
                if key >= 0:
                    matches.append((start, tokens[at][1], key))
                at += 1
                if at == len(tokens):
                    break
                prefix += fold_token(tokens[at][2]) + JOINER
        return _limit(np.array(matches, dtype=np.int64).reshape(-1, 3))


def _limit(matches: Matches) -> Matches:
    """Of matches with one end, the longest `MAX_MATCHES_PER_END`."""
    order = np.lexsort((matches[:, 0], matches[:, 1]))
    ends_M = matches[order, 1]
    ranks_M = np.arange(len(order)) - np.searchsorted(ends_M, ends_M)
    kept: Matches = matches[np.sort(order[ranks_M < MAX_MATCHES_PER_END])]
    return kept

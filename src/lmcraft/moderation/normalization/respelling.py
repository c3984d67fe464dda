"""Tells a Chinese word that is respelled by sound from everyday words that merely sound alike.

Longer words hardly meet by chance, but of two syllables there are only some 160,000. So a pair of characters must be rarer
than chance explains: the product of their frequencies decides.
"""

from functools import cache

from lmcraft.moderation.normalization.plain import make_plain
from lmcraft.moderation.normalization.tables import read_table
from lmcraft.moderation.normalized_text import NormalizedText, View

MAX_PAIR_SOUNDS = 2
MIN_BITS = 24
"""Of a pair in which no character of the word is left: it stands once in 2^24 characters, if characters met by chance."""
MIN_BITS_KEPT = 20
"""Of a pair that has one character of the word."""
MIN_BITS_CHANGED = 9
"""Of the characters of a longer word that are not its own."""


def is_respelling(text: NormalizedText, view: View, start: int, end: int, term: str) -> bool:
    """Whether a passage that sounds like a term is likely to mean it.

    Args:
        text: the text.
        view: a view of sounds of it.
        start: where the passage begins in the view.
        end: where it ends.
        term: the term in plain characters.
    """
    first, last = view.span(start, end)
    spelling = make_plain(text.original[first:last]).text
    if end - start <= MAX_PAIR_SOUNDS:
        return _rarity(spelling) >= (MIN_BITS_KEPT if any(char in term for char in spelling) else MIN_BITS)
    return _rarity("".join(char for char in spelling if char not in term)) >= MIN_BITS_CHANGED


def _rarity(characters: str) -> int:
    return sum(_bits().get(char, len(_bits_lines())) for char in characters)


@cache
def _bits() -> dict[str, int]:
    """The binary logarithm of how rare a character is."""
    return {char: bits for bits, line in enumerate(_bits_lines()) for char in line}


@cache
def _bits_lines() -> list[str]:
    return read_table("frequency.txt")

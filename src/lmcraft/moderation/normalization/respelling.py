"""Tells a word that is respelled by sound from everyday words that merely sound alike."""

from lmcraft.moderation.normalization.plain import make_plain
from lmcraft.moderation.normalized_text import NormalizedText, View

MIN_SOUNDS = 3
"""Longer terms are not met by chance."""


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
    kept = sum(mine == theirs for mine, theirs in zip(spelling, term, strict=False))
    return end - start >= MIN_SOUNDS or kept > 0

"""Undoes the disguises of words."""

import unicodedata

from lmcraft.moderation.normalized_text import NormalizedText, View


def normalize(text: str) -> NormalizedText:
    """The views of a text."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return NormalizedText(text, (View("plain", plain),))

"""Undoes the disguises of words.

- `plain.py`, `characters.py`, `lookalikes.py`: the plain view, character by character; `tables.py`, `tables/`: their tables
- `unmasking.py`, `splits.py`, `kinds.py`: words that are split, stretched, or spelled with digits and signs
- `native/`: the same in C++
- `sounds.py`: Chinese by sound; `respelling.py`: what merely sounds alike
"""

from lmcraft.moderation.normalization.plain import make_plain
from lmcraft.moderation.normalization.respelling import is_respelling
from lmcraft.moderation.normalization.sounds import SOUNDS, hear, latin_pinyin, to_sounds
from lmcraft.moderation.normalization.unmasking import MERGED, UNMASKED, merge_letters, unmask
from lmcraft.moderation.normalized_text import NormalizedText

__all__ = [
    "MERGED",
    "SOUNDS",
    "UNMASKED",
    "is_respelling",
    "latin_pinyin",
    "merge_letters",
    "normalize",
    "normalize_term",
    "to_sounds",
]


def normalize(text: str) -> NormalizedText:
    """The views of a text."""
    plain = make_plain(text)
    unmasked = tuple(unmask(plain))
    sounds = [] if text.isascii() else [hear(view) for view in (plain, *unmasked[:1])]
    return NormalizedText(text, (plain, *unmasked, *(view for view in sounds if view is not None)))


def normalize_term(term: str) -> str:
    """A term as it stands in the plain view."""
    return make_plain(term).text

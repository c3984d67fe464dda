"""Characters as people see them: a letter with its accents, or an emoji of several code points, is one."""

import re
import unicodedata

_JOINER = "\u200d"
_EXTENDERS = re.compile("[\u200c\u200d\u1160-\u11ff\ud7b0-\ud7fb\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
"""Those that are no marks: joiners, vowels and ends of Korean syllables, skin tones, tags of flags."""


def widen(text: str, start: int, end: int) -> tuple[int, int]:
    """The passage text[start:end], which is not empty, with the rest of its first and last characters.

    A simple form of the extended grapheme clusters of Unicode's UAX #29.
    """
    while start > 0 and continues_character(text, start):
        start -= 1
    while end < len(text) and continues_character(text, end):
        end += 1
    return start, end


def continues_character(text: str, position: int) -> bool:
    """Whether a code point belongs to the character before it."""
    code_point = text[position]
    if code_point.isascii():
        return False
    if unicodedata.category(code_point)[0] == "M" or _EXTENDERS.match(code_point):
        return True
    return position > 0 and text[position - 1] == _JOINER and unicodedata.category(code_point) == "So"

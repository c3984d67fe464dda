"""A text as detectors read it: ASCII digits and letters for their wide and mathematical forms, no invisible characters."""

import re
import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HIDDEN = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
"""Characters that show nothing: zero-width spaces and joiners, soft hyphens, marks of direction, variation selectors."""
INVISIBLE = re.compile(f"[{HIDDEN}]+")
SIGNS = {
    **dict.fromkeys("\uff20\ufe6b", "@"),
    **dict.fromkeys("\uff0e\ufe52", "."),
    **dict.fromkeys("\uff0d\ufe63\u2010\u2011\u2012\u2013\u2212", "-"),
    **dict.fromkeys("\uff0b\ufe62", "+"),
    "\uff3f": "_",
    "\uff0f": "/",
    **dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000", " "),
}
STYLED = "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff"
"""Wide and mathematical digits and letters."""
ASTRAL = re.compile("[\U00010000-\U0001ffff]+")
"""Beyond the plane of most characters; kept apart, since one set of both is slow to search."""
MAX_DIGIT = 0x1FFFF


class Folded(NamedTuple):
    """A text without disguises."""

    text: str
    offsets: NDArray[np.int64] | None
    """The position of each character in the original; None if it is the same."""

    def passage(self, start: int, stop: int) -> tuple[int, int]:
        """A passage of the original."""
        if self.offsets is None:
            return start, stop
        return int(self.offsets[start]), int(self.offsets[stop - 1]) + 1


def fold(text: str) -> Folded:
    """Undo what disguises characters.

    Each remaining character of the original is one character of the result.
    """
    if text.isascii():
        return Folded(text, None)
    disguised, pattern, table = _styles()
    if ASTRAL.search(text):
        text = ASTRAL.sub(lambda match: match[0].translate(table), text)
    if not disguised.search(text):
        return Folded(text, None)
    text = pattern.sub(lambda match: match[0].translate(table), text)
    if not INVISIBLE.search(text):
        return Folded(text, None)
    is_kept = np.ones(len(text), dtype=np.bool_)
    for match in INVISIBLE.finditer(text):
        is_kept[match.start() : match.end()] = False
    return Folded(INVISIBLE.sub("", text), np.flatnonzero(is_kept))


@cache
def _styles() -> tuple[re.Pattern[str], re.Pattern[str], dict[int, str]]:
    """What matches disguises, what matches characters with another form in ASCII, and the table of these forms."""
    digits = re.findall(r"[^\W0-9_]", "".join(map(chr, range(0x80, MAX_DIGIT))))
    table = {character: str(unicodedata.decimal(character)) for character in digits if character.isdecimal()}
    for character in re.findall(f"[{STYLED}]", "".join(map(chr, range(0xFF00, MAX_DIGIT)))):
        plain = unicodedata.normalize("NFKC", character)
        if len(plain) == 1:
            table[character] = plain
    classes = "".join(re.escape(character) for character in (table | SIGNS) if character <= "\uffff")
    return (
        re.compile(f"[{classes}{HIDDEN}]"),
        re.compile(f"[{classes}]+"),
        {ord(key): value for key, value in (table | SIGNS).items()},
    )

"""What a character of the plain view can be in a disguised word."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from lmcraft.moderation.normalization.characters import NUM_CODE_POINTS
from lmcraft.moderation.normalization.plain import Codes, to_codes

OTHER, LETTER, HAN, DIGIT, SIGN, SPLITTER, STOP, SPACE, LINE_END, MARK = range(10)
"""From LETTER to SIGN they can spell words, and from SPLITTER on they can split one: signs, some of which end sentences,
and spaces. Other punctuation does so between single letters only."""
SIGNS = "@$|+€£¢¥!"
SPLITTERS = "*_~\\#%&^=`·•∙⋅‧・°¤§¦†‡¶∗⁎★☆♥♡❤●○◦■□▪▫◆◇→←´¨¸"
STOPS = ".-/‐‑‒–−…"
MARKS = "'\"’‘“”,;:?()[]{}<>"
HAN_BLOCKS = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x323B0), (0x3007, 0x3008))
Kinds = NDArray[np.uint8]


def codes_of(text: str) -> Kinds | Codes:
    """(len(text),): the code points of a text, in bytes if it is ASCII."""
    return np.frombuffer(text.encode(), dtype=np.uint8) if text.isascii() else to_codes(text)


def kinds_of(text: str) -> Kinds:
    """(len(text),): the kind of each character of a plain view."""
    if text.isascii():
        kinds = np.frombuffer(bytearray(text.encode().translate(kind_table()[:256].tobytes())), dtype=np.uint8)
    else:
        kinds = kind_table()[to_codes(text)]
    if "!" in text:
        exclamations = np.flatnonzero(codes_of(text) == ord("!"))
        kinds[exclamations] = MARK
        behind = np.append(kinds, OTHER)[exclamations + 1]
        kinds[exclamations[(behind == LETTER) | (behind == DIGIT) | (behind == SIGN)]] = SIGN  # elsewhere it ends a word
    return kinds


@cache
def kind_table() -> Kinds:
    """(0x110000,): the kind of each code point; an exclamation mark is a sign only before a letter or digit."""
    table = np.zeros(NUM_CODE_POINTS, dtype=np.uint8)
    for first, last in HAN_BLOCKS:
        table[first:last] = HAN
    table[ord("a") : ord("z") + 1] = LETTER
    table[ord("0") : ord("9") + 1] = DIGIT
    groups = {SIGN: SIGNS, SPLITTER: SPLITTERS, STOP: STOPS, SPACE: " \t", LINE_END: "\n\r", MARK: MARKS}
    for kind, characters in groups.items():
        table[to_codes(characters)] = kind
    return table

"""What a character of the plain view can be in a disguised word."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from lmcraft.moderation.normalization.characters import NUM_CODE_POINTS
from lmcraft.moderation.normalization.plain import to_codes

OTHER, LETTER, HAN, DIGIT, SIGN, SPLITTER, SPACE, LINE_END = range(8)
SIGNS = "@$€£¢¥"
INNER_SIGNS = "!|+"
"""Signs for letters inside a word; at its end they are punctuation."""
SPLITTERS = "*.-_~/\\#%&^=`·•∙⋅‧・°¤§¦†‡¶∗⁎★☆♥♡❤●○◦■□▪▫◆◇→←‐‑‒–−…´¨¸<>[]{}"
HAN_BLOCKS = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x323B0), (0x3007, 0x3008))


def kinds_of(text: str) -> NDArray[np.uint8]:
    """(len(text),): the kind of each character of a plain view."""
    if text.isascii():
        kinds = np.frombuffer(bytearray(text.encode().translate(_table()[:256].tobytes())), dtype=np.uint8)
    else:
        kinds = _table()[to_codes(text)]
    return _punctuate(text, kinds)


def _punctuate(text: str, kinds: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Signs of `INNER_SIGNS` at the end of a word are no letters."""
    for sign in INNER_SIGNS:
        position = text.find(sign)
        if position >= 0:
            break
    else:
        return kinds
    codes = to_codes(text)
    inner = np.isin(codes, [ord(sign) for sign in INNER_SIGNS])
    behind = np.append(kinds[1:], OTHER)
    for _ in range(2):
        behind = np.where(np.append(inner[1:], False), np.append(behind[1:], OTHER), behind)
    kinds[inner & ~((behind == LETTER) | (behind == DIGIT))] = OTHER
    return kinds


@cache
def _table() -> NDArray[np.uint8]:
    table = np.zeros(NUM_CODE_POINTS, dtype=np.uint8)
    for first, last in HAN_BLOCKS:
        table[first:last] = HAN
    table[ord("a") : ord("z") + 1] = LETTER
    table[ord("0") : ord("9") + 1] = DIGIT
    for characters, kind in ((SIGNS + INNER_SIGNS, SIGN), (SPLITTERS, SPLITTER), (" \t", SPACE), ("\n\r", LINE_END)):
        table[[ord(char) for char in characters]] = kind
    return table

"""What each character becomes in the plain view: compatibility forms, case, marks, look-alikes, traditional characters."""

import unicodedata
from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from lmcraft.moderation.normalization.lookalikes import BAR, find_letters
from lmcraft.moderation.normalization.tables import simplified_characters

NUM_CODE_POINTS = 0x110000
DELETED = 0xFFFFFFFF
EXPANDED = 0xFFFFFFFE  # becomes several characters: `expansions()`
# Blocks with characters that change. The others have none, and their characters need not be asked about.
CHANGING_BLOCKS = (
    (0x00, 0x0700),
    (0x0E00, 0x0F00),
    (0x10A0, 0x1200),
    (0x13A0, 0x1400),
    (0x17B0, 0x1810),
    (0x1AB0, 0x2000),
    (0x2000, 0x3400),
    (0xA640, 0xAC00),
    (0xF900, 0x10000),
    (0x1D400, 0x1D800),
    (0x1F100, 0x1F260),
    (0x2F800, 0x2FA20),
    (0xE0000, 0xE0200),
)
# Marks that can stand on any letter. Those of single scripts, such as the vowels of Thai, are part of their words.
MARKS = ((0x300, 0x370), (0x483, 0x48A), (0x1AB0, 0x1B00), (0x1DC0, 0x1E00), (0x20D0, 0x2100), (0xFE20, 0xFE30))
FILLERS = "\u115f\u1160\u3164\uffa0\u2800\u17b4\u17b5"  # letters and signs without ink
LINE_ENDS = "\x0b\x0c\x85\u2028\u2029"


def is_mark(char: str) -> bool:
    """Whether a character is drawn onto the letter before it, or onto nothing."""
    code = ord(char)
    return any(first <= code < last for first, last in MARKS) or 0xFE00 <= code < 0xFE10 or 0xE0100 <= code < 0xE01F0


def is_invisible(char: str) -> bool:
    """Whether a character has neither ink nor width, such as a zero-width space or a mark of direction."""
    if char in FILLERS or 0x180B <= ord(char) <= 0x180F:
        return True
    return unicodedata.category(char) in ("Cf", "Cc") and char not in "\t\n\r" and char not in LINE_ENDS


def fold(char: str) -> str:
    """What a character becomes; "" if it disappears."""
    if is_mark(char) or is_invisible(char):
        return ""
    if char in LINE_ENDS:
        return "\n"
    return "".join(simplified_characters().get(piece, piece) for piece in _fold_letter(char))


def _fold_letter(char: str) -> str:
    letters = _letters()
    if char in letters:
        return letters[char]
    pieces = "".join(piece for piece in unicodedata.normalize("NFKD", char) if not is_mark(piece))
    if pieces == "I" and unicodedata.name(char).startswith("MATHEMATICAL"):
        return BAR
    pieces = "".join(letters.get(piece, piece) for piece in pieces)
    pieces = "".join(letters.get(piece, piece) for piece in unicodedata.normalize("NFKD", pieces.casefold()))
    return unicodedata.normalize("NFC", "".join(piece for piece in pieces if not is_mark(piece)))


@cache
def fold_table() -> NDArray[np.uint32]:
    """(0x110000,): what each code point becomes, `DELETED` or `EXPANDED`."""
    table = np.arange(NUM_CODE_POINTS, dtype=np.uint32)
    for code, result in _changes().items():
        table[code] = DELETED if not result else ord(result) if len(result) == 1 else EXPANDED
    return table


@cache
def expansions() -> dict[int, str]:
    """The characters that become several."""
    return {code: result for code, result in _changes().items() if len(result) > 1}


@cache
def _changes() -> dict[int, str]:
    changes = {ord(traditional): simplified for traditional, simplified in simplified_characters().items()}
    codes = chain(map(ord, _letters()), *(range(first, last) for first, last in CHANGING_BLOCKS))
    for char in map(chr, codes):
        result = fold(char)
        if result != char:
            changes[ord(char)] = result
    return changes


@cache
def _letters() -> dict[str, str]:
    letters = find_letters()
    return {**{char.casefold(): letter for char, letter in letters.items() if len(char.casefold()) == 1}, **letters}

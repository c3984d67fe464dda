"""Which code points are letters, numbers and white space to the library, whose versions of Unicode are its own.

The library is asked for them, so that they are those of its regular expressions, whatever its release.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, normalizers, pre_tokenizers

LETTER, NUMBER, SPACE, CLASS_MASK, DIGIT, COMPOSES = 1, 2, 3, 3, 4, 8  # as in `pieces.h`
CODE_POINTS = 0x110000
# With characters of these classes, and without surrogates. The planes left out are unassigned or private.
RANGES = ((0, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000), (0x20000, 0x30000), (0x30000, 0x40000), (0xE0000, 0xF0000))
SEPARATOR = "\n"  # composes with nothing


@cache
def code_point_classes() -> NDArray[np.uint8]:
    """The class of each code point, and whether the library takes it for a digit, (0x110000,)."""
    classes = np.zeros(CODE_POINTS, np.uint8)
    for pattern, value in ((r"\p{L}+", LETTER), (r"\p{N}+", NUMBER), (r"\s+", SPACE)):
        for first, last in _matches(_search(pattern)):
            classes[first:last] = value
    for first, last in _matches(pre_tokenizers.Digits(individual_digits=False)):
        if _is_digit(first):
            classes[first:last] |= DIGIT
    return classes


@cache
def marks() -> NDArray[np.bool_]:
    """Whether each code point is a combining mark in the library's regular expressions, (0x110000,)."""
    flags = np.zeros(CODE_POINTS, bool)
    for first, last in _matches(_search(r"\p{M}+")):
        flags[first:last] = True
    return flags


@cache
def composing_code_points() -> NDArray[np.uint8]:
    """`COMPOSES` for each code point that NFC may change, alone or with its neighbors, else 0; (0x110000,)."""
    flags = np.zeros(CODE_POINTS, np.uint8)
    flags[marks()] = COMPOSES
    for first, last in RANGES:
        code_points = [value for value in range(first, last) if value != ord(SEPARATOR)]
        text = SEPARATOR.join(map(chr, code_points))
        composed = normalizers.NFC().normalize_str(text).split(SEPARATOR)
        decomposed = normalizers.NFD().normalize_str(text).split(SEPARATOR)
        for value, whole, characters in zip(code_points, composed, decomposed, strict=True):
            if whole != chr(value):
                flags[value] = COMPOSES
            for character in characters[1:]:
                flags[ord(character)] = COMPOSES
    return flags


def _search(pattern: str) -> Any:
    return pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)


def _is_digit(code_point: int) -> bool:
    pieces = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(chr(code_point) * 2)
    return len(pieces) == 2


def _matches(pre_tokenizer: Any) -> Iterator[tuple[int, int]]:
    """The code points of each piece that a pre-tokenizer makes of all of them, as (first, last + 1)."""
    for first, last in RANGES:
        for _, (start, end) in pre_tokenizer.pre_tokenize_str("".join(map(chr, range(first, last)))):
            yield first + start, first + end

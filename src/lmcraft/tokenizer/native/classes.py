"""Which code points are letters, numbers and white space to the library, whose versions of Unicode are its own.

The library is asked for them, so that they are those of its regular expressions, whatever its release. That takes a second,
so the answers are kept in the cache folder.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, normalizers, pre_tokenizers

from lmcraft.folder import atomic_write
from lmcraft.hub.download_cache import cache_folder

# As in `pieces.h`: the class of a code point, two bits; and flags: whether a step that splits digits takes it for one,
# whether NFC may change it, alone or with its neighbors, and whether it is a combining mark.
LETTER, NUMBER, SPACE, CLASS_MASK = 1, 2, 3, 3
DIGIT, COMPOSES, MARK = 4, 8, 16
FORMAT = 1  # of the cached file
CODE_POINTS = 0x110000
# With characters of these classes, and without surrogates. The planes left out are unassigned or private.
RANGES = ((0, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000), (0x20000, 0x30000), (0x30000, 0x40000), (0xE0000, 0xF0000))
SEPARATOR = "\n"  # composes with nothing


@cache
def code_point_flags() -> NDArray[np.uint8]:
    """The class and the flags of each code point, (0x110000,)."""
    file = cache_folder() / "tokenizers" / f"code-points-{FORMAT}-{version('tokenizers')}.npy"
    with suppress(OSError, ValueError, EOFError):
        flags: NDArray[np.uint8] = np.load(file, allow_pickle=False)
        if flags.shape == (CODE_POINTS,):
            return flags
    flags = ask_library()
    with suppress(OSError), atomic_write(file) as temporary, temporary.open("wb") as stream:
        np.save(stream, flags)
    return flags


def ask_library() -> NDArray[np.uint8]:
    """The class and the flags of each code point, as the library's own regular expressions and normalizers have them."""
    flags = np.zeros(CODE_POINTS, np.uint8)
    for pattern, value in ((r"\p{L}+", LETTER), (r"\p{N}+", NUMBER), (r"\s+", SPACE), (r"\p{M}+", MARK | COMPOSES)):
        for first, last in _matches(pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)):
            flags[first:last] |= value
    for first, last in _matches(pre_tokenizers.Digits(individual_digits=False)):
        if _is_digit(first):
            flags[first:last] |= DIGIT
    for first, last in RANGES:
        code_points = [value for value in range(first, last) if value != ord(SEPARATOR)]
        text = SEPARATOR.join(map(chr, code_points))
        composed = normalizers.NFC().normalize_str(text).split(SEPARATOR)
        decomposed = normalizers.NFD().normalize_str(text).split(SEPARATOR)
        for value, whole, characters in zip(code_points, composed, decomposed, strict=True):
            if whole != chr(value):
                flags[value] |= COMPOSES
            for character in characters[1:]:
                flags[ord(character)] |= COMPOSES
    return flags


def _is_digit(code_point: int) -> bool:
    pieces = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(chr(code_point) * 2)
    return len(pieces) == 2


def _matches(pre_tokenizer: Any) -> Iterator[tuple[int, int]]:
    """The code points of each piece that a pre-tokenizer makes of all of them, as (first, last + 1)."""
    for first, last in RANGES:
        for _, (start, end) in pre_tokenizer.pre_tokenize_str("".join(map(chr, range(first, last)))):
            yield first + start, first + end

"""Texts that were read in a wrong encoding: repaired where the bytes can be had back, named where they cannot.

ftfy repairs UTF-8 that was read as Latin-1 or a code page of Windows, but no Chinese that was read as Latin-1 or in another
Chinese encoding. That is done here: a text with many rare characters is written in the encoding that it may have been read
in, and read in the one that it may be in; the result is taken if nearly all of its characters are common.
"""

import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmcraft.extras import import_optional

MISREAD_UTF8 = re.compile("[\x80-\x9f\xc2-\xf4][\x80-\xbf\u0152-\u2122]")  # what ftfy may repair; other texts are spared
# U+FFFD in UTF-8, and the fresh memory of C programs, read as GBK.
KNOWN_GARBAGE = ("锟斤拷", "烫烫烫", "屯屯屯")
EVIDENCE_CHARS = 60
# All shares are ours.
MAX_REPLACED_SHARE = 0.001  # U+FFFD, of all characters
MAX_RARE_SHARE = 0.2  # rare ones, of Han characters
MAX_LATIN1_SHARE = 0.3  # U+00C0 to U+00FF, of letters that are not Han
MAX_CONTROL_SHARE = 0.01  # U+0080 to U+009F and private use, of all characters
MIN_COMMON_SHARE = 0.95  # of the characters of a repaired text
MIN_SUSPECTS, MIN_CONTROL = 8, 4  # fewer characters show nothing
# The encoding a text was read in, and the one it is in.
MISREADINGS = (
    *(("latin-1", "utf-8"), ("gb18030", "utf-8"), ("latin-1", "gb18030"), ("cp1252", "gb18030")),
    *(("latin-1", "big5"), ("cp1252", "big5"), ("gb18030", "big5"), ("big5", "gb18030")),
)
COMMON, RARE, ASCII_LETTER, LATIN1, CONTROL, REPLACED, SPARED, UNWANTED, OTHER = range(9)  # classes of characters
# Control characters but tab, line feed and carriage return; marks of byte order; soft hyphens; marks of direction, which
# reorder what is shown; surrogates, which UTF-8 cannot hold. Joiners (U+200C, U+200D) belong to words and emoji, and stay.
UNWANTED_CHARACTERS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\xad\ufeff\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class CharacterCounts(NamedTuple):
    """The numbers of characters of a text by class; a text may be counted once for all questions."""

    common: int
    rare: int
    ascii_letters: int
    latin1: int
    control: int
    replaced: int
    spared: int
    unwanted: int
    others: int

    @property
    def is_chinese_misread(self) -> bool:
        """Whether there are too many rare or accented characters."""
        return (self.rare >= MIN_SUSPECTS and self.rare > MAX_RARE_SHARE * (self.common + self.rare)) or (
            self.latin1 >= MIN_SUSPECTS and self.latin1 > MAX_LATIN1_SHARE * (self.ascii_letters + self.latin1)
        )

    @property
    def is_common_chinese(self) -> bool:
        """Whether nearly all characters are common ones of Chinese texts."""
        expected = self.common + self.ascii_letters + self.spared
        return self.common > self.ascii_letters * 0.05 and expected >= MIN_COMMON_SHARE * sum(self)


def library_versions() -> dict[str, str]:
    """The versions of what repairs depend on."""
    _ftfy()
    return {"ftfy": version("ftfy")}


def repair_encoding(text: str, counts: CharacterCounts) -> str:
    """The text as it was written, if it was read in a wrong encoding and its bytes are all there; else the same text."""
    if counts.is_chinese_misread:
        for read, written in MISREADINGS:
            if (candidate := _reread(text, read, written)) and count_characters(candidate).is_common_chinese:
                return candidate
    if counts.latin1 + counts.control and MISREAD_UTF8.search(text):
        fixed: str = _ftfy().fix_encoding(text)
        return fixed
    return text


def garbling(text: str, counts: CharacterCounts) -> str:
    """What shows that a text is garbled beyond repair, for people; empty: nothing does."""
    for garbage in KNOWN_GARBAGE:
        if garbage in text:
            return _around(text, text.index(garbage))
    if counts.replaced > MAX_REPLACED_SHARE * sum(counts):
        return _around(text, text.index("\ufffd"))
    if counts.control > max(MIN_CONTROL - 1, MAX_CONTROL_SHARE * sum(counts)) or counts.is_chinese_misread:
        return _around(text, 0)
    return ""


def _around(text: str, position: int) -> str:
    start = max(0, position - EVIDENCE_CHARS // 2)
    return text[start : start + EVIDENCE_CHARS]


def _reread(text: str, read: str, written: str) -> str:
    try:
        return text.encode(read).decode(written)
    except UnicodeError:
        return ""


def count_characters(text: str) -> CharacterCounts:
    """The number of characters of each class."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return CharacterCounts(*np.bincount(_classes().take(codes), minlength=OTHER + 1).tolist())


@cache
def _classes() -> NDArray[np.uint8]:
    """The class of each code point."""
    classes = np.full(0x110000, OTHER, dtype=np.uint8)
    classes[:0x80] = SPARED
    for letters in ("AZ", "az"):
        classes[ord(letters[0]) : ord(letters[1]) + 1] = ASCII_LETTER
    classes[0x80:0xA0] = classes[0xE000:0xF900] = CONTROL
    classes[0xC0:0x100] = LATIN1
    classes[0x3000:0x3040] = classes[0xFF00:0xFF60] = classes[0x2010:0x2040] = SPARED
    classes[0x3400:0x4DC0] = classes[0x4E00:0xA000] = classes[0x20000:0x30000] = RARE
    classes[sorted(_common_han())] = COMMON
    classes[0xFFFD] = REPLACED
    for code in (*range(0x80), 0xAD, *range(0x2000, 0x2070), *range(0xD800, 0xE000), 0xFEFF):
        if UNWANTED_CHARACTERS.match(chr(code)):
            classes[code] = UNWANTED
    return classes


def _common_han() -> Iterable[int]:
    """The characters of GB 2312, and the frequent ones of Big5 (level 1), as Python's codecs have them."""
    gb2312 = (bytes((lead, trail)) for lead in range(0xB0, 0xF8) for trail in range(0xA1, 0xFF))
    trails = (*range(0x40, 0x7F), *range(0xA1, 0xFF))
    big5 = (bytes((lead, trail)) for lead in range(0xA4, 0xC7) for trail in trails)
    for encoding, characters in (("gb2312", gb2312), ("big5", big5)):
        for character in characters:
            yield from map(ord, character.decode(encoding, "ignore"))


def _ftfy() -> Any:
    return import_optional("ftfy", "prepare", "the setting 'repair' of the stage 'normalize'")

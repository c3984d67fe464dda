"""Binary files, recognized by how they begin, and arrays of numbers that decode as UTF-16 or UTF-32 by chance."""

import re
import unicodedata
from functools import cache
from itertools import pairwise

MAX_PAIRS = 1 << 15  # of adjacent characters that are looked at
MIN_USUAL_SHARE = 0.9  # of the pairs of adjacent letters of a text
TAR_OFFSET = 257  # of the word "ustar"
TEXT_LIKE = re.compile(rb"%PDF|PK\x03\x04|{\\rtf")  # formats whose bytes can all look like text
CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x19\x1c-\x1f\x7f]")
# Formats whose first bytes a text hardly has; they count in a file with control characters.
SIGNATURES = re.compile(
    b"|".join(
        (
            *(rb"\x93NUMPY", rb"PK(\x05\x06|\x07\x08)", rb"\x80[\x02-\x05][\x8a\x95}\](c]"),  # NumPy, ZIP, pickle
            *(
                rb".{4}\0{4}\{\"",
                rb"\x89HDF",
                rb"SQLite format 3\0",
                rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            ),  # weights, tables
            *(rb"\x1f\x8b\x08", rb"BZh[1-9]1AY", rb"\xfd7zXZ", rb"7z\xbc\xaf\x27\x1c", rb"\x28\xb5\x2f\xfd", rb"Rar!\x1a"),
            *(
                rb"\x7fELF",
                rb"MZ\x90\0",
                rb"[\xce\xcf]\xfa\xed\xfe",
                rb"\xca\xfe\xba\xbe",
                rb"\0asm",
                rb"\x1bLua",
            ),  # programs
            *(rb"..\r\n[\x00-\x03]\0{3}", rb"\xde\x12\x04\x95|\x95\x04\x12\xde"),  # compiled Python, translations
            *(
                rb"\x89PNG",
                rb"\xff\xd8\xff",
                rb"GIF8[79]a",
                rb"BM.{4}\0{4}",
                rb"II\*\0|MM\0\*",
                rb"\0\0[\x01\x02]\0[\x01-\x20]\0",
            ),
            *(rb".{4}ftyp", rb"ID3[\x02-\x04]", rb"\x1a\x45\xdf\xa3", rb"FLV\x01", rb"\0\x01\0{3}"),  # media, fonts
        )
    ),
    re.DOTALL,
)
# Formats whose first bytes a text may have, too; they count in a file with zero bytes.
WORDS = re.compile(
    rb"GGUF|lmgg|tjgg|fmgg|PAR1|ARROW1|FEA1|ORC|Obj\x01|LZIP|!<arch>|RIFF|OggS|fLaC|MThd|8BPS|OTTO|ttcf|wOF[F2]"
)
MIXED_IN_WORDS = {"LATIN", "CJK", "HANGUL", "BOPOMOFO"}  # as in T恤


def is_binary(head: bytes) -> bool:
    """Whether a file that begins with some bytes is of a known binary format."""
    if TEXT_LIKE.match(head):
        return True
    if b"\0" in head and (WORDS.match(head) or head[TAR_OFFSET : TAR_OFFSET + 5] == b"ustar"):
        return True
    return SIGNATURES.match(head) is not None and CONTROLS.search(head) is not None


def looks_random(text: str) -> bool:
    """Whether a text is one of numbers that were taken for characters.

    In words, a letter hardly ever follows one of another script, and a capital hardly ever follows a small letter.
    """
    pairs = [pair for pair in pairwise(text[:MAX_PAIRS]) if pair[0].isalpha() and pair[1].isalpha()]
    usual = sum(not (first.islower() and second.isupper()) and _go_together(first, second) for first, second in pairs)
    return usual < MIN_USUAL_SHARE * len(pairs)


def _go_together(first: str, second: str) -> bool:
    scripts = {_script(first), _script(second)}
    return len(scripts) == 1 or scripts <= MIXED_IN_WORDS


@cache
def _script(letter: str) -> str:
    """The script of a letter; the three of Japanese are one."""
    name = unicodedata.name(letter, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ").partition(" ")[0]
    return "CJK" if name in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC") else name

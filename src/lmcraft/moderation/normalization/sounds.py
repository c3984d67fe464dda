"""Chinese by sound: the syllable of each character, without its tone.

The characters of GB 2312's first level, which make up over 99% of modern text, are sorted by their reading in Mandarin, and
Python's codec knows their order. So the first character of each syllable (`tables/syllables.txt`) tells the reading of all.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from lmcraft.moderation.normalization.characters import NUM_CODE_POINTS
from lmcraft.moderation.normalization.plain import Codes, to_codes, to_text
from lmcraft.moderation.normalization.tables import read_table
from lmcraft.moderation.normalized_text import View

SOUNDS = "pinyin"
"""The name of a view of sounds."""
FIRST_SOUND = 0xE000
"""The private-use character of the first syllable in a view of sounds."""
HAN = "\u3400-\u9fff\U00020000-\U000323af"
MIN_LATIN_CHARS, MAX_LATIN_CHARS = 2, 60
HAN_CHARACTER = re.compile(f"[{HAN}]")
WORDS_OF_OTHER_LANGUAGES = frozenset({"made"})


def hear(view: View) -> View | None:
    """A view with each character's syllable instead of it, one private-use character each; None if no character has one."""
    codes = to_codes(view.text)
    sounds = _sound_table()[codes]
    if not (sounds != codes).any():
        return None
    words = latin_beside_han(codes)
    if not words:
        return View(SOUNDS, to_text(sounds), view.offsets)
    starts, stops = np.arange(len(codes) + 1), np.arange(1, len(codes) + 1)
    keep = np.ones(len(codes) + 1, dtype=bool)
    for start, end in words:
        if syllables := split_pinyin(view.text[start:end]) if end - start <= MAX_LATIN_CHARS else "":
            stop = start + len(syllables)
            sounds[start:stop] = to_codes(syllables)
            keep[stop:end] = False
            starts[start:stop], stops[start:stop] = start, end
    if keep.all():
        return View(SOUNDS, to_text(sounds), view.offsets)
    offsets = np.arange(len(codes) + 1) if view.offsets is None else view.offsets
    ends = (offsets[stops - 1] + 1)[keep[:-1]]
    return View(SOUNDS, to_text(sounds[keep[:-1]]), offsets[starts[keep]].astype(np.int32), ends.astype(np.int32))


def latin_beside_han(codes: Codes) -> list[tuple[int, int]]:
    """Start and end of the words of two and more Latin letters that have a Han character on a side."""
    edges = np.flatnonzero(np.diff((codes >= ord("a")) & (codes <= ord("z")), prepend=False, append=False))
    words = edges.reshape(-1, 2)[edges[1::2] - edges[::2] >= MIN_LATIN_CHARS]
    neighbors = np.append(codes, 0)[words - (1, 0)]  # of a word at the beginning, the 0
    is_han = ((neighbors >= 0x3400) & (neighbors <= 0x9FFF)) | ((neighbors >= 0x20000) & (neighbors <= 0x323AF))
    return [(start, end) for start, end in words[is_han.any(axis=1)].tolist()]


def to_sounds(term: str) -> str:
    """A term of the plain view as it stands in a view of sounds; "" if it has no Chinese, or an unknown character."""
    sounds = hear(View("plain", term))
    return "" if sounds is None or HAN_CHARACTER.search(sounds.text) else sounds.text


def latin_pinyin(term: str) -> tuple[str, ...]:
    """A Chinese term of the plain view in Latin letters, in one word and in several; () if that is a word elsewhere."""
    sounds = to_sounds(term)
    if sum(sound >= chr(FIRST_SOUND) for sound in sounds) < 2:
        return ()
    names = [_syllables()[ord(sound) - FIRST_SOUND] if sound >= chr(FIRST_SOUND) else sound for sound in sounds]
    spellings = ("".join(names), " ".join(names))
    with_u = [spelling.replace("v", "u") for spelling in spellings if "v" in spelling]
    return () if spellings[0] in WORDS_OF_OTHER_LANGUAGES else (*spellings, *with_u)


@lru_cache(maxsize=10_000)
def split_pinyin(letters: str) -> str:
    """The syllables of a word in pinyin, as in a view of sounds; "" if it is none."""
    for cut in range(min(6, len(letters)), 0, -1):
        sound = _sounds_by_name().get(letters[:cut])
        if sound is not None:
            if cut == len(letters):
                return sound
            rest = split_pinyin(letters[cut:])
            if rest:
                return sound + rest
    return ""


@cache
def _syllables() -> tuple[str, ...]:
    return tuple(entry[:-1] for entry in read_table("syllables.txt"))


@cache
def _sounds_by_name() -> dict[str, str]:
    return {name: chr(FIRST_SOUND + index) for index, name in enumerate(_syllables())}


@cache
def _sound_table() -> NDArray[np.uint32]:
    table = np.arange(NUM_CODE_POINTS, dtype=np.uint32)
    firsts = [entry[-1].encode("gb2312") for entry in read_table("syllables.txt")]
    for char in _first_level():
        table[ord(char)] = FIRST_SOUND + bisect_right(firsts, char.encode("gb2312")) - 1
    for entry in read_table("readings.txt"):
        name = entry.rstrip("".join(char for char in entry if not char.isascii()))
        for char in entry[len(name) :]:
            table[ord(char)] = ord(_sounds_by_name()[name])
    return table


def _first_level() -> Iterator[str]:
    for row in range(0xB0, 0xD8):
        for column in range(0xA1, 0xFF):
            if (row, column) <= (0xD7, 0xF9):
                yield bytes((row, column)).decode("gb2312")

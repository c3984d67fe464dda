"""Kinds of characters: which ones make words with borders, and which ones are written without spaces."""

import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

SEPARATOR, WORD, FREE, MARK = range(4)
"""Spaces and hyphens; letters and digits; characters of scripts without spaces; everything else."""
MAX_LETTER = 0x3FFFF  # beyond are unassigned and private characters, and signs that nobody sees
WITHOUT_SPACES = (  # Thai to Tibetan, Myanmar, Hangul, Khmer; then kana, Chinese and Hangul
    "\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff"
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303c\u3040-\u30fa\u30fc-\u312f\u3130-\u318f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
HYPHENS = "\\-_\u2010\u2011"
WORDS, SPACES, SINGLE = rf"[^\W_{WITHOUT_SPACES}]+", rf"[\s{HYPHENS}]+", f"[{WITHOUT_SPACES}]"
TOKEN = re.compile(f"{WORDS}|{SPACES}|.", re.DOTALL)
"""A word, a run of spaces and hyphens, or one other character."""
BLANK = re.compile(SPACES)
APOSTROPHES = dict.fromkeys("\u2018\u2019\u02bc\u00b4`", "'")


@cache
def character_kinds() -> NDArray[np.uint8]:
    """The kind of each code point up to `MAX_LETTER`, (MAX_LETTER + 1,)."""
    kinds = np.full(MAX_LETTER + 1, MARK, dtype=np.uint8)
    characters = "".join(map(chr, range(MAX_LETTER + 1)))
    for pattern, kind in ((WORDS, WORD), (SPACES, SEPARATOR), (f"{SINGLE}+", FREE)):
        for run in re.finditer(pattern, characters):
            kinds[run.start() : run.end()] = kind
    return kinds


def fold_token(token: str) -> str:
    """A match of `TOKEN` as terms and texts are compared: all runs of spaces are alike, and all apostrophes."""
    if token.isalnum():
        return token
    return " " if BLANK.match(token) else APOSTROPHES.get(token, token)

"""Which writing systems a text uses: enough to know Chinese, and the fallback without a model of languages."""

import re
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SAMPLE_CHARS = 2000
SCRIPTS = {
    "han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "kana": "\u3041-\u3096\u30a1-\u30fa\uff66-\uff9f",
    "hangul": "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3",
    "latin": "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff",
}
ASCII_OTHERS = bytes(code for code in range(128) if not chr(code).isalpha())


class Scripts(NamedTuple):
    """The number of letters of a text, and the shares of scripts among them."""

    letters: int
    han: float
    kana: float
    hangul: float
    latin: float


def script_shares(text: str) -> Scripts:
    """Count the letters of a text by script."""
    if text.isascii():
        letters = len(text.encode().translate(None, ASCII_OTHERS))
        return Scripts(letters, 0.0, 0.0, 0.0, float(letters > 0))
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    counts = np.bincount(_script_numbers().take(codes), minlength=len(SCRIPTS) + 2).tolist()
    letters = sum(counts[1:])
    return Scripts(letters, *(count / max(1, letters) for count in counts[2:]))


@cache
def _script_numbers() -> NDArray[np.uint8]:
    """By code point: 0 is no letter, 1 a letter of another script, and the scripts follow in order."""
    characters = "".join(map(chr, range(0x110000)))
    numbers = np.fromiter(map(str.isalpha, characters), dtype=np.uint8, count=len(characters))
    for number, script in enumerate(SCRIPTS.values(), 2):
        for match in re.finditer(f"[{script}]+", characters):
            numbers[match.start() : match.end()] = number
    return numbers


def is_chinese(scripts: Scripts) -> bool:
    """Whether the script alone says Chinese: half of the letters are Han, and it is neither Japanese nor Korean."""
    return scripts.han >= 0.5 and scripts.kana < 0.02 and scripts.hangul < 0.02


def script_language(text: str) -> str:
    """What the script of a text's beginning says of its language: zh, ja, ko, en for any Latin text, or nothing."""
    scripts = script_shares(text[:SAMPLE_CHARS])
    if is_chinese(scripts):
        return "zh"
    if scripts.kana >= 0.02 and scripts.kana + scripts.han >= 0.5:
        return "ja"
    if scripts.hangul >= 0.5:
        return "ko"
    return "en" if scripts.latin >= 0.9 else ""

"""Which writing systems a text uses: enough to know Chinese, and the fallback without a model of languages."""

import re
from typing import NamedTuple

SAMPLE_CHARS = 2000
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9f]")
HANGUL = re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]")
LATIN = re.compile("[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f]")
LETTER = re.compile(r"[^\W\d_]")


class Scripts(NamedTuple):
    """The shares of scripts among the letters of a text."""

    letters: int
    han: float
    kana: float
    hangul: float
    latin: float


def script_shares(text: str) -> Scripts:
    """Count the letters of a text by script."""
    if text.isascii():
        letters = len(LETTER.findall(text))
        return Scripts(letters, 0.0, 0.0, 0.0, float(letters > 0))
    letters = len(LETTER.findall(text))
    counts = (len(pattern.findall(text)) for pattern in (HAN, KANA, HANGUL, LATIN))
    return Scripts(letters, *(count / max(1, letters) for count in counts))


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

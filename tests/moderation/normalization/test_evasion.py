"""At least 95% of the disguised words of lmcraft's lists are recognized, of each kind of disguise.

`benchmarks/moderation/evasion.py` measures the same with more words and with tables of others.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from lmcraft.moderation.lexicon import Lexicon, read_list
from lmcraft.moderation.lexicon.term import MIN_DISGUISED_SEVERITY, Term
from lmcraft.moderation.normalization import latin_pinyin, normalize, to_sounds

SAMPLES, MIN_SHARE = 120, 0.95
LEET = {"a": "4@", "b": "8", "e": "3", "g": "9", "i": "1!", "l": "1|", "o": "0", "s": "5$", "t": "7+"}
ALIKE = {
    "a": "аα𝐚ａ",
    "c": "сⅽ",
    "e": "еℯ",
    "h": "һ",
    "i": "іι",
    "k": "кκ",
    "o": "оο",
    "p": "рρ",
    "s": "ѕ𝕤",
    "u": "υս",
    "x": "хχ",
    "y": "у",
}
CONTEXT = {"en": ("He wrote it and left: ", " said the page, twice."), "zh": ("那天他写道：", "，然后走了。")}
Disguise = Callable[[str, random.Random], str]


def replace(word: str, rng: random.Random, choices: dict[str, str]) -> str:
    places = [place for place, char in enumerate(word) if char in choices]
    chosen = set(rng.sample(places, (len(places) + 1) // 2))
    return "".join(rng.choice(choices[char]) if place in chosen else char for place, char in enumerate(word))


def split(word: str, rng: random.Random) -> str:
    return rng.choice([".", "-", "_", "*", "~", "/", " "]).join(word.replace(" ", ""))


def homophones(word: str, rng: random.Random) -> str:
    same = {char: "".join(COMMON[to_sounds(char)]) for char in word if to_sounds(char) in COMMON}
    return replace(word, rng, same)


COMMON: dict[str, list[str]] = {}
for code in range(0xB0A1, 0xD7FA):
    character = code.to_bytes(2, "big").decode("gb2312", "ignore")
    if len(character) == 1:
        COMMON.setdefault(to_sounds(character), []).append(character)

FAMILIES: dict[str, tuple[str, Disguise]] = {
    "invisible": ("en", lambda word, rng: "".join(char + rng.choice("\u200b\u200d\u2060\ufeff\u00ad") for char in word)),
    "invisible in Chinese": ("zh", lambda word, rng: "\u200b".join(word)),
    "marks": ("en", lambda word, rng: "".join(char + chr(rng.randrange(0x300, 0x370)) for char in word)),
    "split": ("en", split),
    "split in Chinese": ("zh", split),
    "leetspeak": ("en", lambda word, rng: replace(word, rng, LEET)),
    "look-alikes": ("en", lambda word, rng: replace(word, rng, ALIKE)),
    "pinyin": ("zh", lambda word, rng: rng.choice(latin_pinyin(word) or (word,))),
    "homophones": ("zh", homophones),
}


@pytest.fixture(scope="module")
def terms() -> list[Term]:
    return [term for name in ("en", "zh") for term in read_list(name, Path())]


@pytest.fixture(scope="module")
def lexicon(terms: list[Term]) -> Lexicon:
    return Lexicon(terms)


@pytest.mark.parametrize("family", FAMILIES)
def test_disguised_words_are_recognized(family, terms, lexicon):
    language, disguise = FAMILIES[family]
    rng = random.Random(f"{family} 0")
    words = [t.text for t in terms if t.source == language and t.kind == "harmful" and t.severity >= MIN_DISGUISED_SEVERITY]
    words = [word for word in words if word.isascii() == (language == "en") and len(word) > 2]
    before, behind = CONTEXT[language]
    missed = []
    for word in rng.sample(words, SAMPLES):
        disguised = disguise(word, rng)
        matches = lexicon.find_terms(normalize(before + disguised + behind))
        start, end = len(before), len(before) + len(disguised)
        if not any(2 * (min(m.end, end) - max(m.start, start)) >= len(disguised) for m in matches):
            missed.append((word, disguised))
    assert len(missed) <= (1 - MIN_SHARE) * SAMPLES, missed

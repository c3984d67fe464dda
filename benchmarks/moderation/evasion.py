"""How many disguised words the lexicon recognizes, by kind of disguise, with and without the views that undo it.

python benchmarks/moderation/evasion.py [--samples 2000] [--seed 0] [--show 5]

Draws words of lmcraft's lists that are looked for in disguise (severity 2 and 3), disguises them, and puts them into clean
sentences. The look-alikes are those of Unicode (package confusable-homoglyphs), the readings of Chinese characters those of
pypinyin, so the disguises know nothing of the tables that undo them. A word is recognized if a harmful term matches at least
half of it.
"""

import argparse
import json
import random
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "preparation"))
from corpora import good_documents

from lmcraft.hub.data_file import fetch_data_file
from lmcraft.moderation.lexicon import Lexicon, read_list
from lmcraft.moderation.lexicon.term import MIN_DISGUISED_SEVERITY
from lmcraft.moderation.normalization import normalize
from lmcraft.moderation.normalized_text import NormalizedText, View
from lmcraft.statistics.proportions import proportion

CONFUSABLES = (
    "pypi:confusable-homoglyphs==3.3.1/confusable_homoglyphs/confusables.json"
    "#sha256=2d8b4774cd9dc6f233a18681bc00423ae270037437f276fc6a8b80630941fe7d"
)
READINGS = (
    "pypi:pypinyin==0.55.0/pypinyin/pinyin_dict.json#sha256=5f294c01e6c6c0a1c8e329c79335a3f8e0b27d06bf1de7a99244b765892d1e5b"
)
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u202a\u2061\u034f\u180e"
SEPARATORS = ".-_*~/|·•+^"
LEET = {"a": "4@", "b": "8", "e": "3", "g": "9", "i": "1!", "l": "1|", "o": "0", "s": "5$", "t": "7+", "z": "2"}
Disguise = Callable[[str, random.Random], str]


def zero_width(word: str, rng: random.Random) -> str:
    forced = rng.randrange(1, len(word)) if len(word) > 1 else 0
    return "".join(
        (rng.choice(INVISIBLE) if position == forced or rng.random() < 0.5 else "") + char
        for position, char in enumerate(word)
    )


def stacked_marks(word: str, rng: random.Random) -> str:
    return "".join(char + "".join(chr(rng.randrange(0x300, 0x370)) for _ in range(rng.randrange(1, 5))) for char in word)


def split(word: str, rng: random.Random) -> str:
    """A sign or space between all characters, or one sign somewhere."""
    if len(word) < 2:
        return word
    shape = rng.randrange(4)
    if shape == 0:
        position = rng.randrange(1, len(word))
        return word[:position] + rng.choice(SEPARATORS) + word[position:]
    separator = " " if shape == 1 else rng.choice(SEPARATORS)
    return separator.join(word.replace(" ", ""))


def replace(word: str, rng: random.Random, choices: Mapping[str, Sequence[str]], share: float) -> str:
    """Replace a share of the characters that have choices, and at least one."""
    positions = [position for position, char in enumerate(word) if choices.get(char)]
    if not positions:
        return word
    forced = rng.choice(positions)
    return "".join(
        rng.choice(choices[char]) if position == forced or (position in positions and rng.random() < share) else char
        for position, char in enumerate(word)
    )


def leetspeak(word: str, rng: random.Random) -> str:
    return replace(word, rng, LEET, 0.5)


def homoglyphs(word: str, rng: random.Random) -> str:
    return replace(word, rng, lookalikes(), 0.5)


@cache
def lookalikes() -> dict[str, list[str]]:
    """Of each letter the characters that Unicode calls confusable with it, without those of right-to-left scripts."""
    table = json.loads(fetch_data_file(CONFUSABLES).read_text(encoding="utf-8"))
    result = {}
    for letter in "abcdefghijklmnopqrstuvwxyz":
        characters = [entry["c"] for case in (letter, letter.upper()) for entry in table.get(case, ())]
        result[letter] = [
            char
            for char in characters
            if len(char) == 1 and unicodedata.bidirectional(char) in ("L", "ON") and not char.isascii()
        ]
    return result


@cache
def readings() -> dict[str, str]:
    """The first reading of each character of GB 2312, with its tone."""
    table = json.loads(fetch_data_file(READINGS).read_text(encoding="utf-8"))
    characters = (
        bytes((row, column)).decode("gb2312", "ignore") for row in range(0xB0, 0xF8) for column in range(0xA1, 0xFF)
    )
    return {char: table[str(ord(char))].split(",")[0] for char in characters if char and str(ord(char)) in table}


def toneless(reading: str) -> str:
    return "".join(
        char for char in unicodedata.normalize("NFD", reading) if char == "\u0308" or not unicodedata.combining(char)
    )


def tone(reading: str) -> int:
    marks = [char for char in unicodedata.normalize("NFD", reading) if char in "\u0304\u0301\u030c\u0300"]
    return "\u0304\u0301\u030c\u0300".index(marks[0]) + 1 if marks else 5


def pinyin(word: str, rng: random.Random) -> str:
    """All in Latin letters: joined or with spaces, with tones as marks or digits or without; or one character only."""
    names = [readings().get(char, char) for char in word]
    bare = [unicodedata.normalize("NFC", toneless(name)).replace("ü", "v") for name in names]
    shape = rng.randrange(6)
    if shape < 2:
        return ("", " ")[shape].join(bare)
    if shape < 4:
        return ("", " ")[shape - 2].join(names)
    if shape == 4:
        return "".join(f"{name}{tone(reading)}" for name, reading in zip(bare, names, strict=True))
    position = rng.randrange(len(word))
    return word[:position] + bare[position] + word[position + 1 :]


def homophones(word: str, rng: random.Random, share: float = 0.5) -> str:
    """Characters of GB 2312's first level with the same syllable."""
    return replace(word, rng, same_sound(), share)


@cache
def same_sound() -> dict[str, list[str]]:
    by_sound = defaultdict(list)
    for char, reading in readings().items():
        if char.encode("gb2312") < b"\xd8":
            by_sound[toneless(reading)].append(char)
    return {char: [other for other in by_sound[toneless(reading)] if other != char] for char, reading in readings().items()}


BY_SOUND = ("pinyin", "homophones")  # words with Latin letters are not looked for by sound

FAMILIES: Mapping[str, tuple[Disguise, Sequence[str]]] = {
    "zero-width characters": (zero_width, ("en", "zh")),
    "stacked marks": (stacked_marks, ("en", "zh")),
    "split symbols": (split, ("en", "zh")),
    "leetspeak": (leetspeak, ("en",)),
    "homoglyphs": (homoglyphs, ("en",)),
    "pinyin": (pinyin, ("zh",)),
    "homophones": (homophones, ("zh",)),
}


def words_of(language: str) -> list[str]:
    terms = read_list(language, Path())
    words = dict.fromkeys(t.text for t in terms if t.kind == "harmful" and t.severity >= MIN_DISGUISED_SEVERITY)
    return [word for word in words if word.isascii() == (language == "en")]


def sentences_of(language: str) -> list[str]:
    """Clean sentences of novels, speeches and manuals."""
    separator = "\u3002" if language == "zh" else ". "
    documents = [document for document in good_documents("reported") if document.language == language]
    pieces = (piece.strip() for document in documents for piece in document.text[:20_000].split(separator))
    return [piece for piece in pieces if 10 < len(piece) < 200 and "\n" not in piece]


def disguised(
    language: str, disguise: Disguise, samples: int, rng: random.Random, words: Sequence[str], sentences: Sequence[str]
) -> Iterator[tuple[str, str, int, int]]:
    """(word, sentence, start, end) of words that a disguise changes."""
    while samples:
        word, sentence = rng.choice(words), rng.choice(sentences)
        changed = disguise(word, rng)
        if changed == word or (changed in words and language == "zh"):
            continue
        if language == "en":
            position = rng.choice([0, *(n + 1 for n, char in enumerate(sentence) if char == " ")])
            text, start = f"{sentence[:position]}{changed} {sentence[position:]}", position
        else:
            borders = [n for n in range(len(sentence) + 1) if not sentence[max(n - 1, 0) : n + 1].isascii()]
            position = rng.choice(borders or [0])
            text, start = sentence[:position] + changed + sentence[position:], position
        samples -= 1
        yield word, text, start, start + len(changed)


def is_recognized(lexicon: Lexicon, text: NormalizedText, start: int, end: int) -> bool:
    """Whether a harmful term covers at least half of a passage."""
    return any(
        term.kind == "harmful" and 2 * (min(last, end) - max(first, start)) >= end - start
        for term, first, last in lexicon.find_terms(text)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latin", action="store_true", help="disguise Chinese words with Latin letters by sound, too")
    parser.add_argument("--show", type=int, default=0, help="misses to print of each row")
    options = parser.parse_args()
    lexicon = Lexicon(term for name in ("en", "zh", "reclaimed", "identity") for term in read_list(name, Path()))
    print(
        "| disguise | language | without normalization | plain view | all views | 95% interval |\n|---|---|---|---|---|---|"
    )
    for family, (disguise, languages) in FAMILIES.items():
        for language in languages:
            rng = random.Random(f"{options.seed} {family} {language}")
            words, sentences = words_of(language), sentences_of(language)
            if family in BY_SOUND and not options.latin:
                words = [word for word in words if not any(map(str.isascii, word))]
            counts, misses = [0, 0, 0], []
            for word, text, start, end in disguised(language, disguise, options.samples, rng, words, sentences):
                full = normalize(text)
                raw = NormalizedText(text, (View("plain", text),))
                hits = [
                    is_recognized(lexicon, variant, start, end)
                    for variant in (raw, NormalizedText(text, full.views[:1]), full)
                ]
                counts = [count + hit for count, hit in zip(counts, hits, strict=True)]
                if not hits[-1]:
                    misses.append((word, text[start:end]))
            interval = proportion(counts[-1], options.samples)
            shares = " | ".join(f"{count / options.samples:.1%}" for count in counts)
            print(f"| {family} | {language} | {shares} | {interval.low:.1%} to {interval.high:.1%} |", flush=True)
            for word, passage in misses[: options.show]:
                print(f"    {word!r}: {passage!r}", file=sys.stderr)


if __name__ == "__main__":
    main()
